"""Random resized crops of a slice: anywhere in it (DINOv2), or around its content (Curia-2)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cairn.config.curia import CuriaConfig
from cairn.slices.contract import resized
from cairn.ssl.augment import intensity
from cairn.ssl.curia_content import Content
from cairn.ssl.curia_slices import Slice

Draw = np.random.Generator


class Box(NamedTuple):
    """A crop's place, in pixels of the slice."""

    top: int
    left: int
    height: int
    width: int


def draw_box(content: Content, scale: tuple[float, float], config: CuriaConfig, draw: Draw) -> Box:
    """A box of a random share of the slice's area, and a random aspect, inside the slice.

    Its size is drawn once, then its place: with ``crops: content`` up to ``crop_tries`` times, until enough of it is
    content. A smaller box, easier to fill, is so no likelier than a large one.
    """
    size = content.mask.shape
    height, width = _sides(size, draw.uniform(*scale), config.crop_aspect, draw)
    last = size[0] - height, size[1] - width
    if config.crops == "uniform":
        return Box(int(draw.integers(last[0] + 1)), int(draw.integers(last[1] + 1)), height, width)
    best = None
    for _ in range(config.crop_tries):
        row, column = content.pixel(draw)
        top, left = row - height // 2, column - width // 2
        box = Box(min(max(0, top), last[0]), min(max(0, left), last[1]), height, width)
        if best is None or content.share(*box) > content.share(*best):
            best = box
        if content.share(*best) >= config.min_content:
            break
    assert best  # one place is drawn at least
    return best


def _sides(size: tuple[int, ...], share: float, aspect: float, draw: Draw) -> tuple[int, int]:
    """Height and width of a box of a ``share`` of the area; the aspect is counted in the slice's own."""
    most = abs(math.log(aspect))
    stretch = math.exp(draw.uniform(-most, most))
    shares = math.sqrt(share * stretch), math.sqrt(share / stretch)
    height, width = (min(n, max(1, round(n * s))) for n, s in zip(size, shares, strict=True))
    return height, width


def cut(piece: Slice, box: Box, side: int, flipped: bool, config: CuriaConfig, draw: Draw) -> Tensor:
    """The crop ``[side, side]``: resized as whole slices are, then flipped, then with changed intensities."""
    top, left, height, width = box
    crop = resized(piece.image[None, top : top + height, left : left + width], side)
    if flipped:
        crop = crop.flip(2)
    return torch.as_tensor(intensity(crop, config.intensity, draw)[0])
