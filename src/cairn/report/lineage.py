"""What the page embeds so that its numbers can open their chains: all cards once, without repeats, as JSON.

Files are numbered; a job names what it read as ``[file, job that made it]`` (-1: no job). Environments, machines and
sections of the configuration that jobs share stand once. Of large data sets a share of the raw files is embedded, and
the rest is counted: `cairn why` prints all of them.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
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
    "predict_test": ("Predict", "predicted the test scans; saw no label"),
    "finetune_model": ("Fine-tune", "trained on the labelled training set"),
    "pretrain_encoder": ("Pretrain", "trained the encoder without labels"),
    "preprocess_shard": ("Preprocess", "registered, stripped and normalised the scans"),
    "accept_dataset": ("Accept", "counted the unusable scans"),
    "labels": ("Labels", "gathered the labels"),
    "manifest": ("Manifest", "gathered the indexes of a data set"),
    "leakage": ("Leakage", "compared training and test sets"),
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
    wanted = {s.path for step in steps for s in step.sources} | {f for n in numbers.values() for f in n.files}
    share = max(LEAST_A_JOB, most_files // max(1, len(steps)))
    order = [group.stage for group in groups]
    jobs = [_job(step, order.index(str(step.facts["stage"])), tables, index, wanted, share) for step in steps]
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


def _job(
    step: Step, stage: int, tables: _Packed, index: Mapping[str, int], wanted: set[str], share: int
) -> dict[str, Any]:
    """One job. Files that others read come first; of the others, and of raw files, a share is kept."""
    card = step.facts
    brought = chain.brought(step)
    raw = [path for path in brought if path not in card["outputs"]]
    read = [s for s in step.sources if s.path not in raw[share:]]
    outputs = sorted(card["outputs"], key=lambda p: (p not in wanted, p not in brought, p))
    needed = sum(p in wanted for p in outputs)
    kept = outputs[: needed + share]
    hidden = len(raw[share:]) + len(outputs) - len(kept)
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
        "raw": [tables.file(p, card["outputs"][p]) for p in kept if p in brought],
        "hidden": hidden, "brought": len(brought),
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
