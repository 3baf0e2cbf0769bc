"""N4 bias field of a scan: estimated coarsely on its own grid, looked up on the session's."""

from __future__ import annotations

import numpy as np

from cairn.config.preprocess import PreprocessConfig
from cairn.io.boxes import box_of
from cairn.io.geometry import resample
from cairn.preprocess.ants_bridge import bias_field
from cairn.preprocess.native import Array, Mask, NativeScan, Volume, block_mean


def field_on_grid(
    scan: NativeScan, mask: Mask, grid_affine: Array, to_native: Array, box: tuple[slice, ...], config: PreprocessConfig
) -> Volume:
    """The field on a box of the grid, 1 on average.

    Args:
        scan: the sequence.
        mask: the brain on the grid.
        grid_affine: 4x4 of the grid.
        to_native: 4x4 from grid world mm to the scan's world mm.
        box: the part of the grid that is wanted.
        config: settings.
    """
    from scipy import ndimage

    coarse, affine = block_mean(scan.data, scan.affine, config.n4.spacing_mm)
    to_coarse = np.linalg.inv(affine) @ to_native @ grid_affine
    inside = resample(mask.astype(np.float32), np.linalg.inv(to_coarse), coarse.shape) >= 0.5
    # N4 costs by the voxel, and looks at those of the brain alone.
    seen = box_of(inside, 2)
    affine[:3, 3] += affine[:3, :3] @ [s.start for s in seen]
    to_coarse[:3, 3] -= [s.start for s in seen]
    field = bias_field((coarse[seen], affine), inside[seen], config.n4.iterations, config.registration.seed)
    offset = to_coarse[:3, :3] @ [s.start for s in box] + to_coarse[:3, 3]
    shape = tuple(s.stop - s.start for s in box)
    out = ndimage.affine_transform(field, to_coarse[:3, :3], offset, shape, order=1, mode="nearest")
    return np.asarray(np.maximum(out, 0.05), np.float32)
