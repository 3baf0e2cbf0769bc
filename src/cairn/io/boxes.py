"""The box around what a mask holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Corner = tuple[int, int, int]


def bounding_box(mask_XYZ: npt.NDArray[Any]) -> tuple[Corner, Corner]:
    """Lowest voxel, and the one past the highest, of a mask that holds one voxel at least."""
    ends = []
    for axis in range(3):
        inside = np.flatnonzero(mask_XYZ.any(axis=tuple(a for a in range(3) if a != axis)))
        ends.append((int(inside[0]), int(inside[-1]) + 1))
    (x, right), (y, front), (z, top) = ends
    return (x, y, z), (right, front, top)


def box_of(mask_XYZ: npt.NDArray[Any], pad: int = 0) -> tuple[slice, ...]:
    """The same box as slices, with ``pad`` voxels on every side, inside the array."""
    ends = zip(*bounding_box(mask_XYZ), mask_XYZ.shape, strict=True)
    return tuple(slice(max(low - pad, 0), min(high + pad, side)) for low, high, side in ends)
