"""Slices of a RAS volume in the published orientations: axial PL, coronal IL, sagittal IP (rows, then columns)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.config.bench import Plane

Array = npt.NDArray[Any]
AXES: dict[Plane, tuple[int, int, int]] = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 2, 1)}
"""Axis of the RAS volume along slices, rows and columns; rows and columns run against it (P, L, I), slices with it."""


def slices_of(volume_XYZ: Array, plane: Plane) -> Array:
    """``[S, H, W]``: slices with the axis, rows and columns towards the letters of the published orientation."""
    return np.ascontiguousarray(volume_XYZ.transpose(AXES[plane])[:, ::-1, ::-1])
