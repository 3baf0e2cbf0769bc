"""Targets and validation metrics that deep and classical models share; free of torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.config.tasks import TaskInputs
from cairn.datasets.labels import class_of
from cairn.errors import CairnError
from cairn.io.geometry import labels_to_grid, mask_to_grid
from cairn.io.nifti import read_label_map
from cairn.tasks.cases import Case, Label

Array = npt.NDArray[Any]


def grid_mask(task: TaskInputs, case: Case, label: Label) -> npt.NDArray[np.uint8]:
    """The native mask of a label, carried to the session's grid.

    Raises:
        CairnError: when there is none, or it does not lie on the grid of its scan (code ``label``).
    """
    mask, sequence = _native_labels(task, case, label)
    return mask_to_grid(mask > 0, case.session.geometry, sequence).astype(np.uint8)


def grid_labels(task: TaskInputs, case: Case, label: Label) -> npt.NDArray[np.uint8]:
    """The native mask of a label with its classes 1 to K, carried to the session's grid.

    Raises:
        CairnError: as `grid_mask`; also for a label beyond the task's classes (code ``unknown-label``).
    """
    mask, sequence = _native_labels(task, case, label)
    return labels_to_grid(mask, case.session.geometry, sequence, len(task.classes))


def _native_labels(task: TaskInputs, case: Case, label: Label) -> tuple[npt.NDArray[np.uint8], str]:
    """A label's mask as it is stored, and the sequence that it lies on."""
    if label.mask is None:
        raise CairnError(f"{case.session.key}: a segmentation label is a mask.", "Add it.", code="label")
    sequence = label.mask_sequence if label.mask_sequence != "n/a" else task.mask_sequence
    if sequence not in case.session.geometry.sequences:
        reason = f"{case.session.key}: its mask lies on {sequence}, a scan that the session lacks."
        raise CairnError(reason, "Mend mask_sequence.", code="label")
    mask = read_label_map(label.mask, len(task.classes) or 255)
    if mask.shape != case.session.geometry.sequences[sequence].native_shape:
        reason = f"{label.mask}: shape {mask.shape} is not that of the {sequence} scan of {case.session.key}."
        raise CairnError(reason, "A mask lies on the grid of its scan.", code="label")
    return mask, sequence


def class_label(case: Case, label: Label) -> npt.NDArray[np.float32]:
    """0 or 1.

    Raises:
        CairnError: for any other value (code ``label``).
    """
    if label.value not in (0.0, 1.0):
        raise CairnError(f"{case.session.key}: label {label.value:g} is neither 0 nor 1.", "Mend it.", "label")
    return np.asarray(label.value, np.float32)


def class_index(task: TaskInputs, case: Case, label: Label) -> int:
    """The class of a probe's label, 0 to K - 1.

    Raises:
        CairnError: when it is none of the task's classes (code ``label``).
    """
    try:
        return class_of(label.value, task.classes, task.edges)
    except CairnError as error:
        raise CairnError(f"{case.session.key}: {error.reason}", error.remedy, error.code) from None


def number_label(case: Case, label: Label) -> npt.NDArray[np.float32]:
    """A finite number, not rounded.

    Raises:
        CairnError: when it is not finite (code ``label``).
    """
    if not np.isfinite(label.value):
        raise CairnError(f"{case.session.key}: its label is no number.", "Mend it.", code="label")
    return np.asarray(label.value, np.float32)


def auroc(predictions: Array, targets: Array) -> float:
    """Share of pairs of a positive and a negative that stand in order; ties count half; NaN with one class only."""
    positive, negative = predictions[targets == 1], predictions[targets == 0]
    if not len(positive) or not len(negative):
        return float("nan")
    difference = positive[:, None] - negative[None, :]
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def dice(a: Array, b: Array) -> float:
    """Dice of two boolean masks; both empty 1."""
    total = int(a.sum()) + int(b.sum())
    return 1.0 if total == 0 else 2 * int((a & b).sum()) / total
