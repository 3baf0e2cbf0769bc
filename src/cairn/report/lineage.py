"""What the page embeds so that its numbers can open their chains: all cards once, without repeats, as JSON.

Files are numbered; a job names what it read as ``[file, job that made it]`` (-1: no job). Environments, machines and
sections of the configuration that jobs share stand once. Of large data sets a share of the raw files is embedded, and
the rest is counted: `cairn why` prints all of them.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from cairn.provenance import chain
from cairn.provenance.cards import Card
from cairn.provenance.lineage import Lineage, Step
from cairn.report.numbers import Number

MOST_FILES, LEAST_A_JOB = 4000, 5
STAGES = {
    "leaderboard": ("Leaderboard", "ranked all runs and compared them"),
    "evaluate_run": ("Evaluate", "scored the predictions against the test labels"),
    "few_shot_curve": ("Score few-shot curves", "scored the few-shot predictions against the test labels"),
    "predict_test": ("Predict", "predicted the test scans; saw no label"),
    "predict_entry": ("Run an entry", "ran a sealed image on each test case, in a sandbox of its own; it saw no label"),
    "predict_head": ("Predict with a head", "predicted the test items from their frozen features; saw no target"),
    "few_shot": ("Few-shot heads", "trained heads on shares of the training set, and predicted the test items"),
    "finetune_model": ("Fine-tune", "trained on the labelled training set"),
    "fit_head": ("Fit a head", "trained on the frozen features of the labelled training set"),
    "embed_items": ("Embed", "ran the frozen encoder over all items"),
    "item_targets": ("Targets", "read a task's targets off the truth of the items"),
    "import_items": ("Import items", "brought in items in CuriaBench's published layout; targets lie apart"),
    "make_items": ("Cut items", "cut slices, masks and volumes from the shards; targets lie apart"),
    "pretrain_encoder": ("Pretrain", "trained the encoder without labels"),
    "import_weights": ("Import", "made the encoder of foreign weights"),
    "preprocess_shard": ("Preprocess", "registered, stripped and normalised the scans"),
    "people": ("People", "gathered age and sex of the test set"),
    "accept_dataset": ("Accept", "counted the unusable scans"),
    "absent_tasks": ("Absent tasks", "listed the benchmark's tasks whose data are not here"),
    "labels": ("Labels", "gathered the labels"),
    "manifest": ("Manifest", "gathered the indexes of a data set"),
    "no_leaks": ("No leaks", "stopped at scans on two sides of the split"),
    "near_duplicates": ("Near-duplicates", "compared the contents of all scans between the sides of the split"),
    "label_canary": ("Canary", "checked that the plain baseline, fitted to permuted labels, scores as chance does"),
    "leakage": ("Leakage", "compared subjects and files between the sides of the split"),
    "sequence_model": ("Sequence model", "trained the model that tells unknown sequences"),
    "convert_dicom": ("DICOM", "converted the DICOM files"),
    "index_shard": ("Index", "hashed the raw scans"),
    "cohort_shard": ("Embedded cohort", "made the raw scans"),
    "build_donor": ("Donor heads", "modelled the tissues of a head"),
    "fetch_package": ("Packages", "fetched pinned packages that hold heads and weights"),
}
"""Title of a stage, and what its jobs did."""


@dataclass
class _Table:
    """Values without repeats; a value is known by its number."""

    values: list[Any] = field(default_factory=list)
    known: dict[str, int] = field(default_factory=dict)

    def number(self, value: Any) -> int:
        key = json.dumps(value, sort_keys=True)
        if key not in self.known:
            self.known[key] = len(self.values)
            self.values.append(value)
        return self.known[key]


@dataclass
class _Packed:
    """The tables that jobs point into."""

    folders: _Table = field(default_factory=_Table)
    files: _Table = field(default_factory=_Table)
    settings: _Table = field(default_factory=_Table)
    packages: _Table = field(default_factory=_Table)
    machines: _Table = field(default_factory=_Table)

    def file(self, path: str, digest: str) -> int:
        pure = PurePosixPath(path)
        return self.files.number([self.folders.number(pure.parent.as_posix()), pure.name, digest])


def embedded(cards: Mapping[str, Card], numbers: Mapping[str, Number], most_files: int = MOST_FILES) -> dict[str, Any]:
    """Everything that the page's script shows of chains, as plain data.

    Args:
        cards: all cards, by path.
        numbers: the numbers that open a chain, by key.
        most_files: about how many files that no job reads by name are embedded; the rest is counted.
    """
    lineage, tables = Lineage(cards), _Packed()
    groups = chain.by_stage(lineage, lineage.chain(lineage.makers))
    steps = [step for group in groups for step in group.steps]
    index = {step.card: i for i, step in enumerate(steps)}
    order = [group.stage for group in groups]
    which = _choose(steps, numbers, most_files)
    jobs = [_job(step, order.index(str(step.facts["stage"])), tables, index, which) for step in steps]
    makers = lineage.makers
    packed = {k: _number(n, cards, makers, tables, order) for k, n in numbers.items()}
    return {
        "stages": [list(STAGES.get(s, (s.replace("_", " ").capitalize(), ""))) for s in order],
        "numbers": packed,
        "jobs": jobs,
        "altered": sorted({tables.file(s.path, s.sha256) for _, s in chain.altered(steps)}),
        "holes": sorted({tables.file(s.path, s.sha256) for _, s in chain.holes(steps)}),
        "folders": tables.folders.values, "files": tables.files.values, "settings": tables.settings.values,
        "packages": tables.packages.values, "machines": tables.machines.values,
    }  # fmt: skip


@dataclass(frozen=True)
class _Choice:
    """Which files are embedded."""

    raw: Mapping[str, Mapping[str, str]]
    """Raw files by the card of the job that brings them in."""
    left_out: frozenset[str]
    wanted: frozenset[str]
    """What a job reads or a number stands in."""
    share: int
    """How many of its raw files, and how many files that no job reads, are embedded of each job."""


def _choose(steps: Sequence[Step], numbers: Mapping[str, Number], most: int) -> _Choice:
    """All files where they are few; else an equal share of each job's."""
    raw = chain.bringing(steps)
    wanted = {s.path for step in steps for s in step.sources} | {f for n in numbers.values() for f in n.files}
    unread = {step.card: set(step.facts["outputs"]) - wanted for step in steps}
    counts = [n for n in (len(raw.get(step.card, {}).keys() | unread[step.card]) for step in steps) if n]
    share = sum(counts) if sum(counts) <= most else max(LEAST_A_JOB, most // len(counts))
    left_out = {path for files in raw.values() for path in sorted(files)[share:]}
    return _Choice(raw, frozenset(left_out), frozenset(wanted), share)


def _job(step: Step, stage: int, tables: _Packed, index: Mapping[str, int], which: _Choice) -> dict[str, Any]:
    """One job. Of what it made, files that others read come first."""
    card, raw = step.facts, which.raw.get(step.card, {})
    read = [s for s in chain.sources(step) if s.path not in which.left_out]
    outputs = sorted(set(card["outputs"]) - which.left_out, key=lambda p: (p not in which.wanted, p in raw, p))
    kept = outputs[: sum(p in which.wanted or p in raw for p in outputs) + which.share]
    config = card["config"] if isinstance(card["config"], Mapping) else {}
    facts = {k: v for k, v in chain.flat(card["facts"]).items() if isinstance(v, str | bool | int | float)}
    return {
        "stage": stage, "name": chain.job_name(step.card), "card": step.card, "code": card["code"],
        "pins": card["environment"]["pins"], "packages": tables.packages.number(card["environment"]["packages"]),
        "machine": tables.machines.number(chain.machine(card)),
        "settings": [[key, tables.settings.number(value)] for key, value in config.items()], "facts": facts,
        "started": card["started"], "wall": card["wall_s"], "cpu": card["cpu_s"], "memory": card["peak_memory_mb"],
        "in": [[tables.file(s.path, s.sha256), index.get(s.card, -1)] for s in read],
        "out": [tables.file(p, card["outputs"][p]) for p in kept],
        "raw": [tables.file(p, raw[p]) for p in sorted(raw) if p not in which.left_out],
        "hidden": [len(card["outputs"]) - len(kept), len(step.sources) - len(read)], "brought": len(raw),
    }  # fmt: skip


def _number(
    n: Number, cards: Mapping[str, Card], makers: Mapping[str, str], tables: _Packed, order: list[str]
) -> dict[str, Any]:
    said: dict[str, Any] = {"what": n.what, "shown": n.shown, "notes": list(n.notes)}
    if n.stage is not None:
        return said | {"stage": order.index(n.stage) if n.stage else -1}
    said["files"] = [tables.file(f, cards[makers[f]]["outputs"][f]) for f in n.files]
    if n.ask:
        said["why"] = f"cairn why {shlex.quote(n.ask) if n.ask in makers else n.ask}"
    return said | ({"rebuild": f"cairn rebuild {n.ask}"} if n.can_rebuild else {})


def as_script(data: Any) -> str:
    """JSON that is safe inside ``<script type="application/json">``: nothing in it can end the element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
