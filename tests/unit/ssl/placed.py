"""A session whose intensities tell the place: each voxel holds its own number, in the second sequence negated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from made import geometry, write_set

from cairn.config.augment import IntensityConfig, SpatialConfig
from cairn.io.sessions import Session, open_sessions
from cairn.io.shard import PreprocessedSession

SHAPE = (12, 11, 12)  # few enough voxels for float16 to hold every number
LOW, HIGH = (2, 1, 3), (10, 10, 11)
STILL = SpatialConfig(flip=0, affine=0)
PLAIN = IntensityConfig(noise=0, blur=0, bias=0, gamma=0, contrast=0, low_resolution=0, gibbs=0, ghosting=0)


def placed_session(folder: Path, sequences: Sequence[str] = ("T1w", "T2w")) -> Session:
    """A session of one or two ``sequences``; its brain is a box from `LOW` to `HIGH`."""
    numbers = np.arange(1, np.prod(SHAPE) + 1, dtype=np.float32).reshape(SHAPE)
    volumes = {name: sign * numbers for name, sign in zip(sequences, (1, -1), strict=False)}
    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice(a, b) for a, b in zip(LOW, HIGH, strict=True))] = True
    made = PreprocessedSession("0001", "1", volumes, mask, geometry(SHAPE, sequences))
    return open_sessions([write_set(folder, "0000", [made])])[0]


def places(crop: np.ndarray) -> np.ndarray:
    """Voxel ``[N, 3]`` that each intensity of a crop came from."""
    return np.stack(np.unravel_index(np.abs(np.asarray(crop)).astype(int).ravel() - 1, SHAPE), axis=1)
