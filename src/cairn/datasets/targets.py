"""Targets of tasks on frozen features: one table, apart from the items that a model reads.

``subject session value``; of survival ``time event`` instead of the value, of findings one column a finding, of
registration ``mask``, a file of the label maps of both volumes of a pair.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from cairn.errors import CairnError
from cairn.io.tables import LABEL_COLUMNS, MISSING, read_table

CASE_COLUMNS = ("subject", "session")
TARGET_COLUMNS = (*CASE_COLUMNS, "value")
BINARY = frozenset({"0", "1", "0.0", "1.0"})


def target_columns(kind: str, classes: Sequence[str] = ()) -> tuple[str, ...]:
    """Columns that the targets of a kind of task stand in.

    Args:
        kind: the task's kind.
        classes: names of a task's findings.
    """
    own = {
        "segmentation": LABEL_COLUMNS, "survival": (*CASE_COLUMNS, "time", "event"),
        "findings": (*CASE_COLUMNS, *classes), "registration": (*CASE_COLUMNS, "mask"),
    }  # fmt: skip
    return own.get(kind, TARGET_COLUMNS)


def read_targets(path: Path, kind: str, classes: Sequence[str] = ()) -> list[dict[str, str]]:
    """Targets of survival, findings or registration.

    Raises:
        CairnError: for a missing column, a case named twice, a time that is negative or no number, an event or a
            finding that is neither 0 nor 1, and a pair without its label maps.
    """
    rows, seen = read_table(path, target_columns(kind, classes)), set()
    for row in rows:
        key = (row["subject"], row["session"])
        who = f"{path}: subject {key[0]}, session {key[1]}"
        if key in seen:
            raise CairnError(f"{who} stands twice.", "Keep one row a case.", "duplicate")
        seen.add(key)
        wrong = _wrong(row, kind, classes, path.parent)
        if wrong:
            raise CairnError(f"{who}: {wrong}.", "Mend the target.", "label")
    return rows


def _wrong(row: dict[str, str], kind: str, classes: Sequence[str], folder: Path) -> str:
    """What no task can use of a row, in words; empty: nothing."""
    if kind == "registration":
        there = row["mask"] != MISSING and (folder / row["mask"]).is_file()
        return "" if there else f"no label maps '{row['mask']}'"
    for name in ("event",) if kind == "survival" else classes:
        if row[name] not in BINARY:
            return f"{name} '{row[name]}' is neither 0 nor 1"
    return f"'{row['time']}' is no time" if kind == "survival" and not _is_time(row["time"]) else ""


def _is_time(text: str) -> bool:
    try:
        return 0 <= float(text) < math.inf
    except ValueError:
        return False
