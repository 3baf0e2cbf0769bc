"""What quality control knows of a session: plain numbers, without limits (those are the stage ``qc``'s)."""

from __future__ import annotations

from typing import Any

import numpy as np

from cairn.io.boxes import box_of
from cairn.io.geometry import resample
from cairn.preprocess.align import Rigid
from cairn.preprocess.movement import movement
from cairn.preprocess.native import Array, Mask, NativeScan, Volume
from cairn.preprocess.resources import Template

COARSE_MM = 3  # voxels of the template's grid over which overlap is counted


def brain_numbers(scan: NativeScan, mask: Mask, to_template: Array, template: Template) -> dict[str, Any]:
    """Of the reference's brain: volume, overlap with the template's brain, scales of the affine, cut surface.

    Args:
        scan: the reference.
        mask: its brain, RAS order.
        to_template: 4x4 from template world mm to reference world mm (the affine, not its rigid part).
        template: the brain template.
    """
    thin = np.diag([COARSE_MM, COARSE_MM, COARSE_MM, 1.0])
    shape = tuple(-(-n // COARSE_MM) for n in template.mask.shape)
    step = np.linalg.inv(scan.affine) @ to_template @ template.affine @ thin
    carried = resample(mask.astype(np.float32), step, shape) >= 0.5
    there = template.mask[::COARSE_MM, ::COARSE_MM, ::COARSE_MM]
    scales = np.linalg.svd(to_template[:3, :3], compute_uv=False)
    return {
        "brain_ml": _r(mask.sum() * abs(np.linalg.det(scan.affine[:3, :3])) / 1000, 1),
        "template_dice": _r(2 * (carried & there).sum() / max(1, carried.sum() + there.sum())),
        "template_scales": [_r(s) for s in scales],
        "cut_share": _r(_cut_share(mask, scan.data)),
    }


def head_numbers(scan: NativeScan, mask: Mask) -> dict[str, Any]:
    """In place of `brain_numbers` for a head that was not stripped: its volume; there is no overlap to speak of."""
    return {
        "brain_ml": _r(mask.sum() * abs(np.linalg.det(scan.affine[:3, :3])) / 1000, 1),
        "template_dice": None, "template_scales": [], "cut_share": _r(_cut_share(mask, scan.data)),
    }  # fmt: skip


def outside_share(mask: Mask, to_grid: Array, shape: tuple[int, int, int]) -> float:
    """Share of a native brain that lies outside the grid; every other voxel is looked at.

    Args:
        mask: the brain, RAS order.
        to_grid: 4x4 from its voxels to the grid's.
        shape: of the grid.
    """
    where = np.argwhere(mask[::2, ::2, ::2]) * 2
    places = where @ to_grid[:3, :3].T + to_grid[:3, 3]
    inside = ((places >= -0.5) & (places <= np.array(shape) - 0.5)).all(axis=1)
    return _r(1 - inside.mean()) if len(where) else 0.0


def _cut_share(mask: Mask, data: Volume) -> float:
    """Share of the brain's surface voxels that touch the border of what was scanned.

    The border is the volume's, or that of a wholly constant margin (slabs padded with 0).
    """
    background = float(data[0, 0, 0])
    filled = data != background
    surface = touching = 0
    brain = np.pad(mask[box_of(mask)], 1)
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        slices = np.flatnonzero(filled.any(axis=others))
        first, last = (slices[0], slices[-1]) if slices.size else (0, mask.shape[axis] - 1)
        surface += int(np.count_nonzero(np.diff(brain, axis=axis)))
        if first > 0 and last < mask.shape[axis] - 1 and np.mean(filled) < 0.3:
            continue  # a stripped scan: its margin is no border
        touching += int(np.take(mask, first, axis).sum() + np.take(mask, last, axis).sum())
    return touching / max(1, surface)


def sequence_numbers(volume: Volume, inside: Mask, covered: Mask, scan: NativeScan) -> dict[str, Any]:
    """Of one sequence on the grid before normalisation: coverage, blank slices, and intensity oddities.

    Args:
        volume: values on the grid.
        inside: the brain on the grid.
        covered: where the scan's field of view covers the grid.
        scan: the scan itself.
    """
    brain = volume[inside & covered]
    values = brain if brain.size else np.zeros(1, np.float32)
    native = scan.data[tuple(slice(None, None, max(1, n // 64)) for n in scan.data.shape)]
    return {
        "coverage": _r((inside & covered).sum() / max(1, inside.sum())),
        "blank_slices": _blank_slices(volume, inside & covered),
        "saturated": _r((values >= values.max() * (1 - 1e-6)).mean()),
        "zeros": _r((values == 0).mean()),
        "levels": int(min(4096, np.unique(native).size)),
        "contrast": _r(values.std() / max(abs(float(values.mean())), 1e-12)),
        "shape": list(scan.stored_shape),
        "zooms_mm": [_r(z, 3) for z in np.linalg.norm(scan.stored_affine[:3, :3], axis=0)],
        "header_flip": scan.header_flip,
        "repairs": [{"code": repair.code, "text": repair.text} for repair in scan.repairs],
    }


def _blank_slices(volume: Volume, inside: Mask) -> int:
    """Slices through the middle of the brain, along any axis, in which the scan is constant: the worst axis."""
    worst = 0
    high, low = (np.where(inside, volume, np.float32(end)) for end in (-np.inf, np.inf))
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        seen = inside.sum(axis=others) >= 30
        top, bottom = high.max(axis=others)[seen], low.min(axis=others)[seen]
        worst = max(worst, int((top - bottom <= 1e-6 * np.maximum(1.0, np.abs(top))).sum()))
    return worst


def rigid_numbers(rigid: Rigid, centre: Array) -> dict[str, Any]:
    """Of a sequence's registration: fit, movement, what a mirror image would gain, and the transform."""
    mm, degrees = movement(rigid.matrix, centre)
    return {
        "fit": _r(rigid.fit),
        "mirror_gain": _r(rigid.mirror_gain),
        "starts": rigid.starts,
        "motion_mm": _r(mm, 2),
        "motion_degrees": _r(degrees, 2),
        "motion": rigid.matrix.tolist(),
    }


def _r(value: Any, digits: int = 4) -> float:
    return round(float(value), digits)
