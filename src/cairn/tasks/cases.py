"""Cases: sessions as a task sees them: which sequences, which box of the grid, which label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cairn.config.tasks import TaskInputs
from cairn.errors import CairnError
from cairn.io.boxes import bounding_box
from cairn.io.sessions import Session
from cairn.io.tables import LABEL_COLUMNS, read_table

Box = tuple[int, int, int]


@dataclass(frozen=True)
class Case:
    """One session of a task.

    ``centre`` and ``extent`` are those of the brain's bounding box, in voxels of the grid.
    """

    session: Session
    sequences: tuple[str, ...]
    centre: tuple[float, float, float]
    extent: Box

    def origin(self, box: Box) -> list[int]:
        """Corner of a box of that size around the brain's centre; it may lie outside the grid."""
        return [round(c - s / 2) for c, s in zip(self.centre, box, strict=True)]

    def volumes(self, box: Box) -> npt.NDArray[np.float32]:
        """Volumes of the sequences in the box, ``[S, X, Y, Z]``; 0 outside the grid."""
        origin = self.origin(box)
        return np.stack([self.session.patch(name, origin, box) for name in self.sequences])


def choose_sequences(task: TaskInputs, available: Sequence[str]) -> tuple[str, ...]:
    """The sequences that a task takes from a session.

    Raises:
        CairnError: with code ``sequences``, naming what the session lacks.
    """
    lacking = [name for name in task.required if name not in available]
    chosen = [name for name in task.required if name in available]
    for group in task.any_of:
        found = [name for name in group if name in available]
        if found:
            chosen.append(found[0])
        else:
            lacking.append(" or ".join(group))
    if lacking:
        raise CairnError(f"lacks {', '.join(lacking)}.", f"It has {', '.join(available) or 'nothing'}.", "sequences")
    chosen += [name for name in task.optional if name in available]
    return tuple(dict.fromkeys(chosen))


def make_case(task: TaskInputs, session: Session) -> Case:
    """A session as a case of ``task``.

    Raises:
        CairnError: when the session lacks a sequence, or its brain mask is empty.
    """
    sequences = choose_sequences(task, session.sequences)
    mask = session.mask()
    if not mask.any():
        raise CairnError("has an empty brain mask.", "See the quality page.", "empty-mask")
    low, high = bounding_box(mask)
    centre = tuple((a + b) / 2 for a, b in zip(low, high, strict=True))
    extent = tuple(b - a for a, b in zip(low, high, strict=True))
    return Case(session, sequences, centre, extent)  # type: ignore[arg-type]


def common_box(extents: Sequence[Box], multiple: int) -> Box:
    """The smallest box that holds every extent, its sides multiples of ``multiple``."""
    sides = np.ceil(np.max(np.array(extents), axis=0) / multiple).astype(int) * multiple
    return int(sides[0]), int(sides[1]), int(sides[2])


@dataclass(frozen=True)
class Label:
    """A label as the table has it; ``mask`` is a path that exists."""

    value: float
    mask: Path | None
    mask_sequence: str


def read_labels(table: Path) -> dict[str, Label]:
    """Labels by session key. Mask paths start from the table's folder.

    Raises:
        CairnError: when the table is missing or a value is not a number.
    """
    labels = {}
    for row in read_table(table, LABEL_COLUMNS):
        key = f"{row['subject']}/{row['session']}"
        try:
            value = float("nan") if row["value"] == "n/a" else float(row["value"])
        except ValueError:
            reason = f"{table}: label '{row['value']}' of {key} is not a number."
            raise CairnError(reason, "Mend the label.", code="label") from None
        mask = None if row["mask"] == "n/a" else table.parent / row["mask"]
        labels[key] = Label(value, mask, row["mask_sequence"])
    return labels


@dataclass(frozen=True)
class LabelledSet:
    """Labelled cases, and why other sessions were left out (``key: reason``)."""

    cases: list[Case]
    labels: list[Label]
    skipped: dict[str, str]

    @property
    def subjects(self) -> list[str]:
        """Subject of each case."""
        return [case.session.subject for case in self.cases]


def labelled_cases(task: TaskInputs, sessions: Sequence[Session], table: Path) -> LabelledSet:
    """Join sessions and labels.

    Raises:
        CairnError: when fewer than four labelled cases remain: no split into training and validation is possible.
    """
    labels = read_labels(table)
    cases, kept, skipped = [], [], {}
    for session in sessions:
        if session.key not in labels:
            skipped[session.key] = "has no label"
            continue
        try:
            cases.append(make_case(task, session))
            kept.append(labels[session.key])
        except CairnError as error:
            skipped[session.key] = str(error)
    for key in sorted(set(labels) - {s.key for s in sessions}):
        skipped[key] = "is labelled, but was not preprocessed (see the quarantine table)"
    if len({case.session.subject for case in cases}) < 4:
        raise CairnError(
            f"{table}: only {len(cases)} labelled cases that the task can use; "
            + "; ".join(f"{k} {v}" for k, v in list(skipped.items())[:3]),
            "Training and validation need at least four subjects.", code="too-few",
        )  # fmt: skip
    return LabelledSet(cases, kept, skipped)
