"""Dice overlap of two masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def dice(prediction: npt.NDArray[Any], truth: npt.NDArray[Any], both_empty: float = 1.0) -> float:
    """Dice coefficient ``2 |A ∩ B| / (|A| + |B|)`` of two masks of one shape (Dice 1945).

    Args:
        prediction: mask, non-zero is inside.
        truth: mask of the same shape.
        both_empty: value where neither holds a voxel; where only one is empty the value is 0.

    Raises:
        ValueError: when the shapes differ.
    """
    if prediction.shape != truth.shape:
        raise ValueError(f"masks of shapes {prediction.shape} and {truth.shape}")
    inside, wanted = prediction != 0, truth != 0
    total = int(np.count_nonzero(inside)) + int(np.count_nonzero(wanted))
    return both_empty if total == 0 else 2.0 * int(np.count_nonzero(inside & wanted)) / total
