"""Intensities inside the brain: clipped to percentiles, zero mean, unit scale; 0 outside."""

from __future__ import annotations

import numpy as np

from cairn.config.preprocess import NormaliseConfig
from cairn.errors import CairnError
from cairn.preprocess.native import Mask, Volume

FEWEST = 100  # voxels of brain without which a scan says nothing


def normalise(volume: Volume, inside: Mask, config: NormaliseConfig) -> Volume:
    """Normalise ``volume`` ``[X, Y, Z]`` by its values ``inside``; rounded through float16, which shards store.

    Raises:
        CairnError: code ``blank-brain`` when the scan is constant inside the brain, or does not reach it.
    """
    values = volume[inside]
    low, high = np.percentile(values, config.clip_percent) if values.size >= FEWEST else (0.0, 0.0)
    clipped = np.clip(values, low, high)
    scale = float(clipped.std(dtype=np.float64)) if low < high else 0.0
    if not scale > 1e-6 * max(abs(low), abs(high)):
        raise CairnError(
            "The scan is blank inside the brain, or does not reach it.",
            "Look at the scan; remove it, or mend its affine.", "blank-brain",
        )  # fmt: skip
    out = np.zeros(volume.shape, np.float16)
    out[inside] = (clipped - clipped.mean(dtype=np.float64)) / scale
    return out.astype(np.float32)
