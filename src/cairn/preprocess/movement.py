"""How far a rigid transform goes."""

from __future__ import annotations

import numpy as np

from cairn.preprocess.native import Array


def movement(matrix: Array, centre: Array) -> tuple[float, float]:
    """How far a 4x4 moves ``centre`` (mm), and its rotation angle in degrees."""
    moved = matrix[:3, :3] @ centre + matrix[:3, 3]
    u, _, vt = np.linalg.svd(matrix[:3, :3])
    cosine = (np.trace(u @ vt) - 1) / 2
    return float(np.linalg.norm(moved - centre)), float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
