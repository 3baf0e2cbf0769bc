"""A carried mask is roughly right; the scan's own intensities say where the brain ends."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cairn.strip.morphology import ball, fill_holes, largest_component

Mask = npt.NDArray[np.bool_]


def refine(data: npt.NDArray[np.float32], mask: Mask, zooms: npt.NDArray[np.float64], reach_mm: float = 5.0) -> Mask:
    """Fit the border of a carried mask to the scan.

    Inside the mask shrunk by ``reach_mm`` everything is brain; within ``reach_mm`` of its border a voxel is brain when
    its intensity is more like the core's than like the dark rim's (skull, and on T1w the fluid outside the gyri),
    joined to the core after an opening that cuts bridges to the scalp.

    Args:
        data: the head ``[X, Y, Z]``.
        mask: carried brain mask.
        zooms: voxel sizes, mm.
        reach_mm: how far the border may move.
    """
    from scipy import ndimage

    distance_in = ndimage.distance_transform_edt(mask, sampling=zooms)
    distance_out = ndimage.distance_transform_edt(~mask, sampling=zooms)
    core = distance_in > reach_mm
    if not core.any():
        return mask
    band = (distance_out <= reach_mm) & ~core
    low, high = np.percentile(data[core], (2, 98))
    floor = float(np.percentile(data[distance_out > 0], 5))
    dark = floor + 0.4 * (float(np.median(data[core])) - floor)
    like_brain = (data > min(max(dark, floor), high)) & (data < high + 0.5 * (high - low))
    # Where the carried border is trusted most (near it), the prior fills dark sulci.
    candidate = core | (band & like_brain)
    opened = ndimage.binary_opening(candidate, ball(2.0, zooms)) | core
    joined = largest_component(opened)
    return fill_holes(ndimage.binary_closing(np.pad(joined, 6), ball(4.0, zooms))[6:-6, 6:-6, 6:-6])


def stripped_already(data: npt.NDArray[np.float32], voxel_ml: float) -> Mask | None:
    """The outline of a scan that comes without skull, else None.

    Recognised by a background of exactly one value over more than half of the volume, and a rest of a brain's size: a
    head with scalp and neck has more than two and a half litres.
    """
    background = float(data[0, 0, 0])
    inside = data != background
    if not 0.02 < inside.mean() < 0.5 or not 0.6 < inside.sum() * voxel_ml / 1000 < 2.3:
        return None
    outline = fill_holes(largest_component(inside))
    whole = outline.sum() >= 0.95 * inside.sum() and inside[outline].mean() > 0.9
    return outline if whole else None
