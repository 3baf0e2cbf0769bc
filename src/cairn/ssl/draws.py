"""Random numbers by counter: what is drawn depends on (seed, purpose, counters) alone, never on what was drawn before.

So a resumed run sees the very same samples, and a sample is the same whoever draws it.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
import numpy.typing as npt

WORD = 2**64


def generator(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """A Philox generator of its own for (``seed``, ``purpose``, up to three counters), such as (step, sample)."""
    if len(counters) > 3 or any(c < 0 for c in counters):
        raise ValueError(f"up to three counters, none negative, not {counters}")
    stream = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "big")
    words = [0, *counters, *([0] * (3 - len(counters)))]
    # As arrays of words: numpy 2 refuses single integers above 64 bits. The lowest word counts the draws.
    key, counter = np.array([seed % WORD, stream], np.uint64), np.array(words, np.uint64)
    return np.random.Generator(np.random.Philox(counter=counter, key=key))


def derived_seed(seed: int, purpose: str, *counters: int) -> int:
    """A seed for libraries that want one number."""
    return int(generator(seed, purpose, *counters).integers(2**63))


@lru_cache(maxsize=4)
def _epoch(seed: int, purpose: str, size: int, epoch: int) -> npt.NDArray[np.int64]:
    return generator(seed, purpose, epoch).permutation(size)


def shuffled(seed: int, purpose: str, size: int, position: int) -> int:
    """Element at ``position`` of an endless series of shuffles of ``range(size)``: each epoch meets every element."""
    epoch, place = divmod(position, size)
    return int(_epoch(seed, purpose, size, epoch)[place])
