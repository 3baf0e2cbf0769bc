"""Targets of items: a table apart from them, that no job which predicts may read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.config.bench import BenchKind, BenchTarget, TargetsJob
from cairn.errors import CairnError
from cairn.io.atomic import read_json
from cairn.io.tables import LABEL_COLUMNS, MISSING, read_table, write_table

Floats = npt.NDArray[np.float64]
SURVIVAL_COLUMNS = ("time", "event")


def extra_columns(target: BenchTarget) -> tuple[str, ...]:
    """Columns of a task's table beside those of every table of labels."""
    own = {"survival": SURVIVAL_COLUMNS, "findings": target.classes, "registration": ("mask_sha256",)}
    return own.get(target.kind, ())


def item_targets(job: TargetsJob, truth: Path, targets: Path) -> dict[str, Any]:
    """Write the targets of one task, from the truth of the items that it sees; items without an answer have no row.

    Args:
        job: what is asked.
        truth: from `cairn.bench.items_from_shards.make_items`.
        targets: the table; label maps of a registration lie beside it.

    Returns:
        Facts for the card.

    Raises:
        CairnError: when the truth lacks what the task asks for, or no item has an answer (code ``no-labels``).
    """
    known, unasked = read_json(truth), 0
    rows: list[dict[str, Any]] = []
    if job.task.kind == "registration":
        from cairn.bench.pairs import pair_targets

        rows = pair_targets(truth, known["pairs"], targets, job)
    else:
        for item in known["items"]:
            names = {"subject": item["subject"], "session": item["session"]}
            cells = target_cells(job.task, item["truth"], f"{truth}: {'/'.join(names.values())}")
            rows += [{**names, **cells}] if cells else []
            unasked += not cells
    if not rows:
        raise CairnError(f"{truth}: no item has an answer.", "Check the task's 'target'.", "no-labels")
    write_targets(targets, job.task, rows)
    return {"targets": len(rows), "left_out": unasked}


def write_targets(path: Path, target: BenchTarget, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the targets of one task: ``subject session value mask mask_sequence``, and its own columns."""
    ordered = sorted(rows, key=lambda r: (r["subject"], r["session"]))
    write_table(path, ordered, (*LABEL_COLUMNS, *extra_columns(target)))


def class_number(value: Any, classes: Sequence[str], where: str) -> int:
    """Class 0 to K - 1 of a target that is a name or a number.

    Raises:
        CairnError: when it is neither (code ``label``).
    """
    if isinstance(value, str) and value in classes:
        return classes.index(value)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not number.is_integer() or not 0 <= number < len(classes):
        known = ", ".join(classes[:8]) + (" …" if len(classes) > 8 else "")
        raise CairnError(f"{where}: target {value!r} is none of the classes ({known}).", "Mend it.", code="label")
    return int(number)


def target_cells(target: BenchTarget, truth: Mapping[str, Any], where: str) -> dict[str, Any] | None:
    """Cells of a row from a session's truth; None where the truth has no answer.

    Raises:
        CairnError: when the truth lacks the key altogether, or holds what the task cannot use (code ``label``).
    """
    if target.kind == "survival":
        time, event = (_look_up(truth, target.key + name, where) for name in ("time_years", "event"))
        if time is None or event is None:
            return None
        return {"value": repr(_number(time, where)), "time": repr(_number(time, where)), "event": int(bool(event))}
    if target.kind == "findings":
        found = {name: _look_up(truth, name, where) for name in target.classes}
        if any(v is None for v in found.values()):
            return None
        bits = {name: _bit(v, where) for name, v in found.items()}
        return {"value": sum(bits.values()), **bits}
    value = _look_up(truth, target.key, where)
    if value is None:
        return None
    if target.kind == "probe":
        known = not isinstance(value, str) or value in target.classes  # a name that the task does not ask for
        return {"value": class_number(value, target.classes, where)} if known else None
    return {"value": _bit(value, where) if target.kind == "classification" else repr(_number(value, where))}


def _look_up(truth: Mapping[str, Any], key: str, where: str) -> Any:
    """A value of the truth, also from its ``findings``."""
    nested = truth.get("findings")
    for source in (truth, nested if isinstance(nested, Mapping) else {}):
        if key in source:
            return source[key]
    raise CairnError(f"{where}: the truth has no '{key}'.", f"It has {', '.join(sorted(truth))}.", code="label")


def _number(value: Any, where: str) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise CairnError(f"{where}: target {value!r} is no number.", "Mend it.", code="label")
    return number


def _bit(value: Any, where: str) -> int:
    if value not in (0, 1):
        raise CairnError(f"{where}: target {value!r} is neither 0 nor 1.", "Mend it.", code="label")
    return int(value)


@dataclass(frozen=True)
class Targets:
    """Targets of items in an order: ``value`` ``[N]`` (survival: time), ``event`` ``[N]``, ``findings`` ``[N, K]``."""

    value: Floats
    event: Floats
    findings: Floats

    def rows(self, places: Sequence[int]) -> Targets:
        """Those of some items."""
        at = np.asarray(places, int)
        return Targets(self.value[at], self.event[at], self.findings[at])

    def strata(self, kind: BenchKind) -> list[int]:
        """Group of each item that splits and subsets keep in proportion: class, event, fifth of the range of ranks."""
        if kind in ("classification", "probe"):
            return [int(v) for v in self.value]
        if kind == "survival":
            return [int(v) for v in self.event]
        if kind == "regression":
            rank = np.argsort(np.argsort(self.value, kind="stable"), kind="stable")
            return [int(r) for r in 5 * rank // max(1, len(rank))]
        return [0] * len(self.value)


def read_targets(path: Path, target: BenchTarget) -> dict[str, dict[str, str]]:
    """Rows of a table of targets by item key.

    Raises:
        CairnError: when it is missing, lacks columns, or names an item twice.
    """
    found: dict[str, dict[str, str]] = {}
    for row in read_table(path, ("subject", "session", "value", *extra_columns(target))):
        key = f"{row['subject']}/{row['session']}"
        if key in found:
            raise CairnError(f"{path}: {key} stands twice.", "Keep one row an item.", "duplicate")
        found[key] = row
    return found


def targets_of(rows: Mapping[str, Mapping[str, str]], keys: Sequence[str], target: BenchTarget, path: Path) -> Targets:
    """Targets of the items ``keys``, which all have a row.

    Raises:
        CairnError: for a value that the task cannot use (code ``label``).
    """
    value, event, findings = [], [], []
    for key in keys:
        row, where = rows[key], f"{path}: {key}"
        if target.kind == "findings":
            findings.append([_bit(_float(row[name], where), where) for name in target.classes])
            value.append(0.0)
        elif target.kind == "survival":
            value.append(_float(row["time"], where))
            event.append(_bit(_float(row["event"], where), where))
        else:
            classes = target.classes if target.kind == "probe" else ("0", "1")
            number = target.kind == "regression"
            value.append(_float(row["value"], where) if number else class_number(row["value"], classes, where))
    count = len(keys)
    return Targets(
        np.array(value, float), np.array(event or [0] * count, float), np.array(findings, float).reshape(count, -1)
    )


def _float(text: str, where: str) -> float:
    try:
        return _number(math.nan if text == MISSING else text, where)
    except ValueError:
        raise CairnError(f"{where}: target '{text}' is no number.", "Mend it.", code="label") from None
