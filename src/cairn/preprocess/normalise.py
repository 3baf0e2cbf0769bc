"""Intensities: inside the brain clipped to percentiles, zero mean, unit scale, 0 outside; or raw."""

from __future__ import annotations

import numpy as np

from cairn.config.preprocess import NormaliseConfig
from cairn.errors import CairnError
from cairn.preprocess.native import Mask, Volume

FEWEST = 100  # voxels of brain without which a scan says nothing
FLOAT16 = float(np.finfo(np.float16).max)


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


def raw(volume: Volume, kept: Mask, outside: float) -> Volume:
    """Raw values where ``kept``, ``outside`` elsewhere; rounded through float16, which shards store.

    float16 holds whole numbers to 2048 exactly (all of the Hounsfield scale but dense bone and metal), beyond that to
    1 part in 2048.

    Raises:
        CairnError: code ``range`` for values that float16 does not hold; ``blank-brain`` when nothing is kept.
    """
    values = volume[kept]
    if values.size < FEWEST:
        raise CairnError("The scan does not reach the grid.", "Look at the scan; mend its affine.", "blank-brain")
    widest = float(np.abs(values).max())
    if widest > FLOAT16:
        raise CairnError(
            f"The scan has values to {widest:g}, and raw values are kept as float16, which ends at {FLOAT16:.0f}.",
            "Rescale the scan's values, or set normalise.method to zscore.", "range",
        )  # fmt: skip
    return np.where(kept, volume, np.float32(outside)).astype(np.float16).astype(np.float32)
