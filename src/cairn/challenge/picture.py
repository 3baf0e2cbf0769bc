"""A picture of one answer: stripped scans, with the outline of the mask or beside the number. No face is in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cairn.challenge.predict_case import Predicted
from cairn.config.tasks import TaskSpec
from cairn.errors import CairnError
from cairn.io.atomic import atomic_path
from cairn.io.boxes import box_of
from cairn.io.geometry import mask_to_grid
from cairn.io.nifti import read_mask
from cairn.predict.run import PredictJob

OUTLINE, INK = "#ff9e2c", "#222222"
PLANES = ("sagittal", "coronal", "axial")


def draw(predicted: Predicted, job: PredictJob, answer: Path, out: Path) -> None:
    """Draw the sequences that an answer rests on, in three planes, through the largest extent of a mask or the middle.

    Args:
        predicted: what `predict_case` gave.
        job: whose answer it is.
        answer: the file that was written.
        out: a PNG file.

    Raises:
        CairnError: when the scans were not stripped: a face would show (code ``face``).
    """
    from matplotlib.figure import Figure

    if predicted.made.numbers["strip"] == "none":
        reason = f"{out}: no picture, for the scans were not stripped, and a face would show."
        raise CairnError(reason, f"The answer is in {answer}.", "face")
    session, task = predicted.made.session, job.task
    box = box_of(session.mask, 2)
    brain, mask, said = session.mask[box], None, _said(predicted.value, task)
    if task.kind == "segmentation":
        names = (task.mask_sequence, *predicted.used)
        grid = next(name for name in names if name in session.geometry.sequences)
        native, affine = read_mask(answer), session.geometry.sequences[grid].native_affine
        mask = mask_to_grid(native, session.geometry, grid)[box]
        ml = float(native.sum()) * abs(float(np.linalg.det(affine[:3, :3]))) / 1000
        said = f"{ml:.1f} ml" if native.any() else "nothing found"
    figure = Figure(figsize=(7.5, 2.5 * len(predicted.used) + 0.6), layout="constrained")
    axes = figure.subplots(len(predicted.used), 3, squeeze=False)
    for row, name in zip(axes, predicted.used, strict=True):
        volume = np.where(brain, predicted.made.pictures[name][box], np.float32(0))  # without the rim of other figures
        high = float(np.percentile(volume[brain], 99.5)) or 1.0
        for axis, place in enumerate(row):
            at = _slice(mask, axis, brain.shape)
            place.imshow(np.take(volume, at, axis).T, cmap="gray", vmin=0, vmax=high, origin="lower")
            if mask is not None and np.take(mask, at, axis).any():
                place.contour(np.take(mask, at, axis).T, levels=[0.5], colors=OUTLINE, linewidths=1.2)
            place.set_axis_off()
            if axis:  # x runs from the patient's left to the right
                for side, x in (("L", 0.03), ("R", 0.97)):
                    place.text(x, 0.5, side, transform=place.transAxes, color="white", fontsize=8, ha="center")
            place.set_title(f"{name}, {PLANES[axis]}", fontsize=8, color=INK)
    figure.suptitle(f"{task.name.replace('_', ' ')} by {job.run}: {said}", fontsize=10, color=INK)
    with atomic_path(out) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _slice(mask: np.ndarray | None, axis: int, shape: tuple[int, ...]) -> int:
    """The slice that holds most of the mask; the middle one without."""
    if mask is None or not mask.any():
        return shape[axis] // 2
    others = tuple(i for i in range(3) if i != axis)
    return int(mask.sum(axis=others).argmax())


def _said(value: str, task: TaskSpec) -> str:
    """A number, or the probabilities of a probe's classes, in words."""
    if task.kind == "probe":
        pairs = zip(task.classes, value.split(), strict=True)
        return ", ".join(f"{name} {float(p):.2f}" for name, p in pairs)
    return f"{float(value):.3g}{' years' if task.kind == 'regression' else ''}" if value else ""
