"""The files of evaluation: ``cases.tsv`` and ``scores.parquet``, and the cases of one run as arrays."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.errors import CairnError
from cairn.evaluate.cases import Case, Key
from cairn.evaluate.classes import EVENT, TRUTH
from cairn.io.atomic import atomic_path
from cairn.io.tables import MISSING, read_table, write_table

CASE_COLUMNS = ("cohort", "seed", "subject", "session", "label", "prediction", "dice", "nsd", "status")
SCORE_COLUMNS = ("run", "track", "task", "cohort", "seed", "metric", "value", "ci_low", "ci_high", "n")
SEED_MEAN = -1
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RunCases:
    """All cases of one run on one task: ``[seeds, cases]``, sorted by seed and by key; NaN is what does not apply."""

    cohort: str
    seeds: tuple[int, ...]
    keys: tuple[Key, ...]
    label: Floats
    """``[cases]``."""
    prediction: Floats
    dice: Floats
    nsd: Floats
    status: tuple[tuple[str, ...], ...]
    parts: Mapping[str, Floats] = field(default_factory=dict)
    """Columns of single classes, each ``[seeds, cases]``, in the order of the classes."""

    @property
    def subjects(self) -> list[str]:
        """Subject of every case."""
        return [subject for subject, _ in self.keys]

    @property
    def findings(self) -> list[str]:
        """Names of a task's findings."""
        return [name.removeprefix(TRUTH) for name in self.parts if name.startswith(TRUTH)]

    def of_finding(self, name: str) -> RunCases:
        """The cases as those of one finding: 0 or 1, and its probability."""
        return replace(self, label=self.parts[f"{TRUTH}{name}"][0], prediction=self.parts[f"p_{name}"], parts={})

    @property
    def events(self) -> Floats:
        """``[cases]``: whether the event of survival was seen."""
        return np.asarray(self.parts[EVENT][0])

    @property
    def truth(self) -> Floats:
        """``[what, cases]``: all that is true of the cases, whatever was said of them."""
        held = [column[0] for name, column in self.parts.items() if name == EVENT or name.startswith(TRUTH)]
        return np.stack([self.label, *held])


def as_arrays(cohort: str, by_seed: Mapping[int, Sequence[Case]]) -> RunCases:
    """Arrays of the cases of several seeds.

    Raises:
        CairnError: when the seeds do not cover the same sessions.
    """
    ordered = {seed: sorted(by_seed[seed], key=lambda c: c.key) for seed in sorted(by_seed)}
    first = next(iter(ordered.values()))
    keys = tuple(c.key for c in first)
    if any(tuple(c.key for c in cases) != keys for cases in ordered.values()):
        raise CairnError("The seeds of a run do not cover the same sessions.", "Evaluate the run again.", "cases")

    def grid(name: str) -> Floats:
        return np.array([[_or_nan(getattr(c, name)) for c in cases] for cases in ordered.values()])

    return RunCases(
        cohort, tuple(ordered), keys, grid("label")[0], grid("prediction"), grid("dice"), grid("nsd"),
        tuple(tuple(c.status for c in cases) for cases in ordered.values()),
        {name: np.array([[c.parts[name] for c in cases] for cases in ordered.values()]) for name in first[0].parts},
    )  # fmt: skip


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def write_cases(path: Path, cohort: str, by_seed: Mapping[int, Iterable[Case]]) -> None:
    """Write ``cases.tsv``: numbers in the shortest form that reads back the same, single classes in own columns."""
    rows = []
    parts: dict[str, None] = {}
    for seed in sorted(by_seed):
        for case in by_seed[seed]:
            numbers = {n: getattr(case, n) for n in ("label", "prediction", "dice", "nsd")} | dict(case.parts)
            parts |= dict.fromkeys(case.parts)
            cells = {n: None if v is None else repr(float(v)) for n, v in numbers.items()}
            rows.append({
                "cohort": cohort, "seed": seed, "subject": case.subject, "session": case.session,
                "status": case.status, **cells,
            })  # fmt: skip
    write_table(path, rows, (*CASE_COLUMNS, *parts))


def read_cases(path: Path) -> RunCases:
    """Read ``cases.tsv``.

    Raises:
        CairnError: when the table is missing, empty, malformed, or its seeds differ in sessions.
    """
    rows = read_table(path, CASE_COLUMNS)
    if not rows:
        raise CairnError(f"{path}: no case.", "Evaluate the run again.", "cases")
    by_seed: dict[int, list[Case]] = {}
    for row in rows:
        numbers = {n: None if row[n] == MISSING else float(row[n]) for n in ("label", "prediction", "dice", "nsd")}
        by_seed.setdefault(int(row["seed"]), []).append(
            Case(
                row["subject"], row["session"], status=row["status"], **numbers,
                parts={n: float(row[n]) for n in row if n not in CASE_COLUMNS},
            )
        )  # fmt: skip
    return as_arrays(rows[0]["cohort"], by_seed)


def write_scores(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write ``scores.parquet``; undefined values are null."""
    import pyarrow as pa
    from pyarrow import parquet

    text, number, whole = pa.string(), pa.float64(), pa.int64()
    kinds = dict.fromkeys(SCORE_COLUMNS, text) | {
        "seed": whole, "value": number, "ci_low": number, "ci_high": number, "n": whole,
    }  # fmt: skip
    table = pa.table(
        {c: pa.array([r[c] for r in rows], kinds[c]) for c in SCORE_COLUMNS},
        schema=pa.schema([(c, kinds[c]) for c in SCORE_COLUMNS]),
    )
    with atomic_path(path) as temporary:
        parquet.write_table(table, temporary)


def mean_of(scores: Path, metric: str) -> float | None:
    """A metric's mean over seeds, out of ``scores.parquet``; None where it is undefined.

    Raises:
        CairnError: see `read_scores`; also when the table does not hold the metric.
    """
    for row in read_scores(scores):
        if row["metric"] == metric and row["seed"] == SEED_MEAN:
            return None if row["value"] is None else float(row["value"])
    raise CairnError(f"{scores}: no mean over seeds of '{metric}'.", "Evaluate the run again.", "scores")


def read_scores(path: Path) -> list[dict[str, Any]]:
    """Read ``scores.parquet`` as rows.

    Raises:
        CairnError: when the file is missing, is no Parquet file, or has other columns.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(path).read()
    except (OSError, pa.ArrowInvalid):
        raise CairnError(f"{path}: not a readable table of scores.", "Run evaluate again.", "scores") from None
    if tuple(table.column_names) != SCORE_COLUMNS:
        raise CairnError(f"{path}: columns are not {' '.join(SCORE_COLUMNS)}.", "Run evaluate again.", "scores")
    return list(table.to_pylist())
