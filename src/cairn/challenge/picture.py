"""A picture of one answer: stripped scans, with the outline of the mask or beside the number. No face is in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cairn.challenge.predict_case import Predicted
from cairn.config.tasks import TaskSpec
from cairn.io.atomic import atomic_path
from cairn.io.boxes import box_of
from cairn.io.geometry import mask_to_grid
from cairn.io.nifti import read_mask

OUTLINE, INK = "#ff9e2c", "#222222"
PLANES = ("sagittal", "coronal", "axial")


def draw(predicted: Predicted, task: TaskSpec, title: str, answer: Path, out: Path) -> None:
    """Draw the sequences that an answer rests on, in three planes, through the largest extent of a mask or the middle.

    Args:
        predicted: what `predict_case` gave.
        task: the task.
        title: of the run.
        answer: the file that was written.
        out: a PNG file.
    """
    from matplotlib.figure import Figure

    session = predicted.made.session
    box = box_of(session.mask, 2)
    mask = None
    if task.kind == "segmentation":
        names = (task.mask_sequence, *predicted.used)
        grid = next(name for name in names if name in session.geometry.sequences)
        mask = mask_to_grid(read_mask(answer), session.geometry, grid)[box]
    shown = list(predicted.used)
    shape = session.mask[box].shape
    figure = Figure(figsize=(7.5, 2.5 * len(shown) + 0.6), layout="constrained")
    axes = figure.subplots(len(shown), 3, squeeze=False)
    for row, name in zip(axes, shown, strict=True):
        volume = predicted.made.pictures[name][box]
        high = float(np.percentile(volume[volume != 0], 99.5)) if volume.any() else 1.0
        for axis, place in enumerate(row):
            at = _slice(mask, axis, shape)
            place.imshow(np.take(volume, at, axis).T, cmap="gray", vmin=0, vmax=high, origin="lower")
            if mask is not None and np.take(mask, at, axis).any():
                place.contour(np.take(mask, at, axis).T, levels=[0.5], colors=OUTLINE, linewidths=1.2)
            place.set_axis_off()
            place.set_title(f"{name}, {PLANES[axis]}", fontsize=8, color=INK)
    figure.suptitle(f"{title}: {_said(predicted, task, mask)}", fontsize=10, color=INK)
    with atomic_path(out) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _slice(mask: np.ndarray | None, axis: int, shape: tuple[int, ...]) -> int:
    """The slice that holds most of the mask; the middle one without."""
    if mask is None or not mask.any():
        return shape[axis] // 2
    others = tuple(i for i in range(3) if i != axis)
    return int(mask.sum(axis=others).argmax())


def _said(predicted: Predicted, task: TaskSpec, mask: np.ndarray | None) -> str:
    name = task.name.replace("_", " ")
    if mask is not None:
        geometry = predicted.made.session.geometry
        ml = float(mask.sum()) * abs(float(np.linalg.det(geometry.affine[:3, :3]))) / 1000
        return f"{name}, {ml:.1f} ml" if mask.any() else f"{name}, nothing found"
    if task.kind == "probe":
        values = " ".join(f"{float(v):.2f}" for v in predicted.value.split())
        return f"{name}, probabilities {values}"
    unit = " years" if task.kind == "regression" else ""
    return f"{name}, {float(predicted.value):.3g}{unit}"
