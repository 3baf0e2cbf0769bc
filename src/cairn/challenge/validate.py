"""Is an image an entry? What the official validators of FOMO25 and FOMO26 check, and what they let through.

They check that the image is an Apptainer file (FOMO26), has folders /input and /output (FOMO25), shows a GPU where one
is asked for and starts Python, that every case ends and is answered, that text is a number and a mask has its scan's
shape. Checked here as well: the range of a probability, the mask's affine and labels, one vector of one length,
every subset of the scans that a case may lack, the time of each case, that two runs agree, that no network is needed,
and that nothing but the output is touched. An empty mask is an answer.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cairn.challenge.contract import COMMAND
from cairn.challenge.entry import Answer, Entry, answer
from cairn.challenge.outputs import OK, printable
from cairn.challenge.trials import Trial
from cairn.sandbox.health import lacks

Level = Literal["ok", "note", "fault"]
NO_PREDICT = 3
LOOK = f"import os, sys; sys.exit(0 if os.path.isfile({COMMAND[1]!r}) else {NO_PREDICT})"


@dataclass(frozen=True)
class Finding:
    """One thing that was checked."""

    what: str
    level: Level
    said: str


@dataclass(frozen=True)
class Tried:
    """One trial and its answers: one, or two of a trial that was repeated."""

    trial: Trial
    answers: tuple[Answer, ...]

    @property
    def verdict(self) -> str:
        """``ok``, or the first that is not."""
        return next((a.verdict for a in self.answers if a.verdict != OK), OK)

    @property
    def sentence(self) -> str:
        """What was found; empty of a valid answer."""
        bad = next((a for a in self.answers if a.verdict != OK), None)
        return printable(f"{bad.sentence} {bad.checked.remedy if bad.checked else ''}") if bad else ""


@dataclass(frozen=True)
class Report:
    """What was found out about an image."""

    facts: dict[str, Any]
    """The image and how it was asked."""
    findings: tuple[Finding, ...]
    tried: tuple[Tried, ...]

    @property
    def valid(self) -> bool:
        """Whether there is no fault."""
        return all(finding.level != "fault" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            **self.facts, "valid": self.valid, "findings": [asdict(f) for f in self.findings],
            "cases": [_case(t) | {"log": t.answers[-1].outcome.log} for t in self.tried],
        }  # fmt: skip

    def lines(self) -> Iterator[str]:
        """The report for a person."""
        yield "{image}: {task} ({kind_of_task}), called as {contract} asks".format(**self.facts)
        yield ""
        rows = [("case", "scans", "verdict", "s", "MB", "answer")]
        for tried in self.tried:
            case = _case(tried)
            peak = f"{case['peak_memory_mb']:.0f}"
            rows.append((
                case["case"], " ".join(case["scans"]), case["verdict"], f"{case['wall_s']:.1f}", peak, case["answer"],
            ))  # fmt: skip
        yield from _columns(rows)
        yield ""
        yield from _columns(
            [(f.level.upper() if f.level == "fault" else f.level, f.what, f.said) for f in self.findings]
        )
        yield ""
        faults = sum(f.level == "fault" for f in self.findings)
        yield "VALID." if self.valid else f"NOT VALID: {faults} fault{'s' if faults > 1 else ''}."
        if not self.valid and (log := self._log()):
            yield f"What it printed in the first case that failed:\n{log}"

    def _log(self) -> str:
        bad = next((a for t in self.tried for a in t.answers if a.verdict != OK), None)
        return bad.outcome.log.strip()[-2000:] if bad else ""


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Left-aligned columns; the last is as long as it is."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[-1]]).rstrip()


def _case(tried: Tried) -> dict[str, Any]:
    last = tried.answers[-1]
    return {
        "case": tried.trial.name, "scans": list(tried.trial.scans), "verdict": tried.verdict,
        "wall_s": round(max(a.outcome.wall_s for a in tried.answers), 2),
        "peak_memory_mb": round(max(a.outcome.peak_memory_mb for a in tried.answers), 1),
        "answer": _said(last) if tried.verdict == OK else tried.sentence,
    }  # fmt: skip


def _said(one: Answer) -> str:
    """A valid answer in words."""
    checked = one.checked
    if checked is None:
        return ""
    if checked.labels is not None:
        return f"{int((checked.labels > 0).sum())} voxels"
    if checked.vector is not None:
        return f"{len(checked.vector)} numbers"
    return f"{checked.value:g}"


def validate(entry: Entry, trials: Sequence[Trial]) -> Report:
    """Try an entry, and report.

    Args:
        entry: the image, and how it is asked.
        trials: what it is tried on.

    Raises:
        CairnError: where nothing here can run the image (code ``engine``), or a scan of a trial cannot be read.
    """
    image = entry.image
    before = image.digest() if image.kind != "oci" else ""
    facts = {
        "image": image.path, "kind": image.kind, "size_mb": round(image.size_mb(), 1), "sha256": before,
        "task": entry.task.name, "kind_of_task": entry.task.kind, "contract": entry.contract, "engine": entry.engine,
        "policy": entry.policy.model_dump(mode="json"),
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="cairn-validate-") as folder:
        start = _start(entry, Path(folder))
        first = [*_places(entry, Path(folder)), *_gpu(entry, Path(folder))] if start.level == "ok" else []
        tried: list[Tried] = []
        if start.level == "ok":
            for trial in trials:
                times = 2 if trial.repeat else 1
                tried.append(Tried(trial, tuple(answer(entry, trial.scans, Path(folder)) for _ in range(times))))
    changed = bool(before) and image.digest() != before
    findings = [_image(entry), *first, start, *(_of_answers(entry, tried, changed) if tried else ())]
    return Report(facts, tuple(findings), tuple(tried))


def _image(entry: Entry) -> Finding:
    image = entry.image
    size = f"{image.size_mb():,.0f} MB" if image.kind != "oci" else "size not known"
    if image.kind == "sif":
        return Finding("image", "ok", f"an Apptainer file, {size}")
    takes = "hand in an Apptainer file (.sif), for FOMO's validators refuse all else"
    if image.kind == "folder":
        return Finding("image", "note", f"a root folder, {size}: a rehearsal; {takes}")
    return Finding("image", "fault" if entry.contract == "fomo26" else "note", f"a name, {size}; {takes}")


def _places(entry: Entry, folder: Path) -> Iterator[Finding]:
    """FOMO25's validator looks for the mount points in the image itself; here a sandbox would hide that they lack."""
    image = entry.image
    if image.kind == "oci":
        yield Finding("folders", "note", "an image by name is not looked into for /input and /output")
        return
    missing = lacks(image, entry.policy, folder)
    if not missing:
        yield Finding("folders", "ok", "/input and /output are in the image")
    elif image.kind == "sif" and entry.contract == "fomo25":
        yield Finding("folders", "fault", f"the image has no folder {' and '.join(missing)}; make it as it is built")
    else:
        yield Finding("folders", "note", f"no folder {' and '.join(missing)}; an image for FOMO25 must have it")


def _gpu(entry: Entry, folder: Path) -> Iterator[Finding]:
    """Both validators call ``nvidia-smi`` in the image where a GPU is asked for."""
    if not entry.policy.gpu:
        return
    inputs, output = folder / "none", folder / "gpu"
    output.mkdir()
    run = entry.run(entry.image, ["nvidia-smi", "-L"], inputs, output, entry.policy, entry.engine)
    if run.verdict == OK:
        yield Finding("gpu", "ok", printable(run.log[:200]))
    else:
        yield Finding("gpu", "fault", printable(f"no GPU is seen in it. {run.sentence} {run.log[-200:]}"))


def _start(entry: Entry, folder: Path) -> Finding:
    """Python starts, and the program is where the contract has it."""
    inputs, output = folder / "none", folder / "nothing"
    for place in (inputs, output):
        place.mkdir()
    run = entry.run(entry.image, [COMMAND[0], "-c", LOOK], inputs, output, entry.policy, entry.engine)
    if run.verdict == OK:
        return Finding("start", "ok", f"Python starts, and {COMMAND[1]} is there")
    if run.exit_code == NO_PREDICT:
        return Finding("start", "fault", f"the image has no {COMMAND[1]}")
    return Finding("start", "fault", printable(f"'python' does not run in it. {run.sentence} {run.log[-300:]}"))


def _of_answers(entry: Entry, tried: Sequence[Tried], image_changed: bool) -> Iterator[Finding]:
    whole = [t for t in tried if t.trial.repeat]
    parts = [t for t in tried if not t.trial.repeat]
    yield _answered("answers", whole, "answered as the contract asks, cases")
    if parts:
        yield _answered("subsets", parts, "answered with other scans, cases")
    yield _time(entry, tried)
    yield _repeatable(whole)
    if entry.task.kind == "probe":
        yield _one_length(tried)
    yield from _apart(tried)
    others = sorted({printable(name) for t in tried for a in t.answers for name in a.others})
    touched = [what for what, is_so in (
        ("its input", any(a.inputs_changed for t in tried for a in t.answers)), ("the image", image_changed),
    ) if is_so]  # fmt: skip
    if touched:
        yield Finding("writes", "fault", f"changed {' and '.join(touched)}")
    elif others:
        yield Finding("writes", "note", f"left {len(others)} other names in /output, such as '{others[0]}'")
    else:
        yield Finding("writes", "ok", "the output alone; all else is read-only, and the input is as it was")
    if any(t.verdict == OK for t in tried):
        yield Finding("network", "ok", "it had none, and needs none")


def _answered(what: str, tried: Sequence[Tried], good: str) -> Finding:
    bad = [t for t in tried if t.verdict != OK]
    if not bad:
        return Finding(what, "ok", f"{good}: {len(tried)} of {len(tried)}")
    first = f"{bad[0].trial.name}: {bad[0].verdict}. {bad[0].sentence}"
    return Finding(what, "fault", f"{len(bad)} of {len(tried)} are not valid; {first}")


def _time(entry: Entry, tried: Sequence[Tried]) -> Finding:
    slowest = max(a.outcome.wall_s for t in tried for a in t.answers)
    over = any(a.outcome.verdict == "time" for t in tried for a in t.answers)
    most = max(a.outcome.peak_memory_mb for t in tried for a in t.answers)
    said = f"slowest case {slowest:.1f} s of {entry.policy.seconds:g} s; most memory {most:.0f} MB"
    return Finding("time", "fault" if over else "ok", said)


def _repeatable(tried: Sequence[Tried]) -> Finding:
    """Two runs of a case must agree: a number that cannot be had again cannot be checked."""
    again = [(t.trial.name, t.answers[0].checked, t.answers[1].checked) for t in tried if len(t.answers) > 1]
    pairs = [(n, a, b) for n, a, b in again if a is not None and b is not None and a.ok and b.ok]
    for name, first, second in pairs:
        if first.content == second.content:
            continue
        if first.labels is not None and second.labels is not None:
            how = f"masks differ in {int((first.labels != second.labels).sum())} voxels"
        elif first.vector is not None and second.vector is not None:
            same = first.vector.shape == second.vector.shape
            how = (
                f"numbers differ by up to {np.abs(first.vector - second.vector).max():g}" if same else "lengths differ"
            )
        else:
            how = f"{first.value:g}, then {second.value:g}"
        return Finding("repeatable", "fault", f"{name}: two runs disagree ({how}); fix every seed")
    if not pairs:
        return Finding("repeatable", "note", "could not be told: no case has two valid answers")
    return Finding("repeatable", "ok", f"two runs agree, cases: {len(pairs)} of {len(tried)}")


def _one_length(tried: Sequence[Tried]) -> Finding:
    vectors = [a.checked.vector for t in tried for a in t.answers if a.checked is not None]
    lengths = sorted({len(vector) for vector in vectors if vector is not None})
    if len(lengths) > 1:
        return Finding("embedding", "fault", f"lengths differ between cases: {', '.join(map(str, lengths))}")
    return Finding("embedding", "ok", f"{lengths[0]} numbers in every case" if lengths else "none")


def _apart(tried: Sequence[Tried]) -> Iterator[Finding]:
    """One and the same answer whatever the case is allowed, and worth a look."""
    said = {a.checked.content for t in tried for a in t.answers if a.checked is not None and a.checked.ok}
    values = [a.checked.value for t in tried for a in t.answers if a.checked is not None and a.checked.ok]
    if len(tried) > 1 and len(said) == 1 and values[0] is not None:
        yield Finding("answers", "note", f"every case has the same answer, {values[0]:g}")


def as_text(report: Report, as_json: bool = False) -> str:
    """The report as a table for a person, or as data."""
    return json.dumps(report.to_json(), indent=1, allow_nan=False) if as_json else "\n".join(report.lines())
