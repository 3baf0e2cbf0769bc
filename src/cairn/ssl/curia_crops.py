"""Random resized crops of a slice: anywhere in it (DINOv2), or around its content (Curia-2)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cairn.config.curia import CuriaConfig
from cairn.ssl.augment import intensity
from cairn.ssl.curia_slices import Content, Slice
from cairn.slices.contract import resized

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
    size = content.mask_HW.shape
    height, width = _sides(size, draw.uniform(*scale), config.crop_aspect, draw)
    last = size[0] - height, size[1] - width
    if config.crops == "uniform":
        return Box(int(draw.integers(last[0] + 1)), int(draw.integers(last[1] + 1)), height, width)
    found, most = [], -1.0
    around = _cumulated(content, config.crop_sigma)
    for _ in range(config.crop_tries):
        row, column = divmod(int(np.searchsorted(around, draw.random() * around[-1], side="right")), size[1])
        top, left = (min(max(0, p - n // 2), most_) for p, n, most_ in zip((row, column), (height, width), last, strict=True))
        box = Box(top, left, height, width)
        share = content.share(*box)
        if share > most:
            most = share
            found.append(box)
        if share >= config.min_content:
            break
    return found[-1]


def _sides(size: tuple[int, ...], share: float, aspect: float, draw: Draw) -> tuple[int, int]:
    """Height and width of a box of a ``share`` of the area; the aspect is counted in the slice's own."""
    stretch = math.exp(draw.uniform(math.log(aspect), -math.log(aspect)))
    shares = math.sqrt(share * stretch), math.sqrt(share / stretch)
    height, width = (min(n, max(1, round(n * s))) for n, s in zip(size, shares, strict=True))
    return height, width


def _cumulated(content: Content, sigma: float) -> np.ndarray:  # type: ignore[type-arg]
    """Running sum, pixel by pixel, of how likely each is a crop's centre; of a slice without content, all by place."""
    weight = gaussian(content.mask_HW.shape, content.centre, sigma)
    if content.mask_HW.any():
        weight = weight * content.mask_HW
    return np.asarray(weight.ravel().cumsum())


def gaussian(size: tuple[int, ...], centre: tuple[float, float], sigma: float) -> np.ndarray:  # type: ignore[type-arg]
    """Weights ``[H, W]`` that fall off from ``centre``, which may lie outside; largest 1; ``sigma`` in sides."""
    rows, columns = (((np.arange(n) + 0.5 - c) / (sigma * n)) ** 2 for n, c in zip(size, centre, strict=True))
    exponent = -0.5 * (rows[:, None] + columns[None, :])
    return np.asarray(np.exp(exponent - exponent.max()))


def cut(piece: Slice, box: Box, side: int, flipped: bool, config: CuriaConfig, draw: Draw) -> Tensor:
    """The crop ``[side, side]``: resized as whole slices are, then flipped, then with changed intensities."""
    top, left, height, width = box
    crop = resized(piece.image_HW[None, top : top + height, left : left + width], side)
    if flipped:
        crop = crop.flip(2)
    return torch.as_tensor(intensity(crop, config.intensity, draw)[0])
