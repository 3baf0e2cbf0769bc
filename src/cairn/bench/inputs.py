"""What a head reads of an item's features: one vector, or a bag of tokens with their slices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cairn.bench.features import Embedded, Features
from cairn.config.bench import FrozenConfig
from cairn.errors import CairnError

Floats = npt.NDArray[np.float32]


def head_inputs(features: Features, keys: Sequence[str], frozen: FrozenConfig) -> Floats:
    """``[N, D]`` for linear heads, ``[N, L, D]`` for attention, of items in an order.

    Raises:
        CairnError: when the items have no masks and the head needs them, or bags differ in length.
    """
    if frozen.head == "attention":
        bags = [tokens_of(features, key, frozen) for key in keys]
        if len({bag.shape for bag in bags}) > 1:
            lengths = sorted({len(bag) for bag in bags})
            reason = f"{features.path}: attention over bags of {lengths[0]} to {lengths[-1]} tokens."
            raise CairnError(reason, "Take input 'window', which has the same slices for all.", "head")
        return np.stack(bags)
    return np.stack([vector_of(features, key, frozen) for key in keys])


def vector_of(features: Features, key: str, frozen: FrozenConfig) -> Floats:
    """``[D]``: class token, mean of covered patch tokens, or the mean over slices of either."""
    if frozen.input == "mask":
        return masked_mean(features.item(key))
    tokens = features.read("class", key)
    if frozen.input == "window":
        tokens = tokens[window(len(tokens), features.coverage(key), frozen.window_slices)]
    return np.asarray(tokens.mean(axis=0))


def masked_mean(item: Embedded) -> Floats:
    """Mean of the patch tokens that the mask covers, over all its slices, ``[D]``.

    Raises:
        CairnError: when the item has no mask (code ``item``).
    """
    if item.coverage is None:
        raise CairnError(f"item {item.key}: has no mask.", "Take input 'slice' or 'volume'.", code="item")
    return np.asarray(item.patches[item.coverage].mean(axis=0))


def window(slices: int, coverage_Shw: npt.NDArray[np.bool_] | None, count: int) -> npt.NDArray[np.int64]:
    """Numbers of ``count`` slices around the centre of the mask, or of the volume; at a border it repeats the last."""
    centre = (slices - 1) / 2
    if coverage_Shw is not None and coverage_Shw.any():
        centre = float(np.mean(np.flatnonzero(coverage_Shw.any(axis=(1, 2)))))
    start = int(np.floor(centre - (count - 1) / 2 + 0.5))
    return np.clip(np.arange(start, start + count), 0, slices - 1)


def tokens_of(features: Features, key: str, frozen: FrozenConfig) -> Floats:
    """Bag ``[L, D]`` of a window's or of all slices' tokens, each with its slice's sinusoidal embedding added."""
    name = "patches" if frozen.tokens == "patches" else "class"
    tokens = features.read(name, key)
    chosen = np.arange(len(tokens))
    if frozen.input == "window":
        chosen = window(len(tokens), features.coverage(key), frozen.window_slices)
    tokens = tokens[chosen]
    tokens = tokens.reshape(len(chosen), -1, tokens.shape[-1])
    places = slice_embedding(len(chosen), tokens.shape[-1])
    return np.asarray((tokens + places[:, None]).reshape(-1, tokens.shape[-1]))


def slice_embedding(slices: int, width: int) -> Floats:
    """Sinusoidal embedding of a slice's place, ``[S, D]`` (Vaswani et al. 2017)."""
    place = np.arange(slices)[:, None]
    rate = np.exp(-np.log(10000.0) * (np.arange(width) // 2 * 2) / width)
    angle = place * rate
    return np.asarray(np.where(np.arange(width) % 2 == 0, np.sin(angle), np.cos(angle)), np.float32)
