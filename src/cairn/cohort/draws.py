"""Random streams keyed by what they are for: the same key gives the same draws, whatever else is made."""

from __future__ import annotations

import hashlib

import numpy as np


def stream(*key: str | int) -> np.random.Generator:
    """A counter-based generator for ``key``, such as ``(seed, dataset, subject, "shape")``."""
    digest = hashlib.sha256("\x1f".join(map(str, key)).encode()).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest[:16], "<u8")))
