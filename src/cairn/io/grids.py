"""Whether two scans lie on one grid."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

GRID_TOLERANCE_MM = 1e-2
"""Two grids are one where no corner moves farther."""


def corner_shift_mm(shape: Sequence[int], a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Largest distance between the same corner of a grid of that shape under two affines (4x4), in mm."""
    corners = np.array(list(itertools.product(*((0, n - 1) for n in shape), (1,))), float)
    return float(np.linalg.norm((corners @ (a - b).T)[:, :3], axis=1).max())
