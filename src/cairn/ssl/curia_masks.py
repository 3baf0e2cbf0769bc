"""Patches that are hidden from a student (iBOT): blocks anywhere (BEiT, DINOv2), or around the anatomy (Curia-2)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cairn.config.curia import CuriaConfig
from cairn.ssl.curia_content import Weights, gaussian
from cairn.ssl.curia_crops import Box

FEWEST = 4
"""Patches of the smallest block, where so many are wanted (DINOv2)."""
BLOCKS = 50
"""Blocks drawn at most; what is still missing then is hidden patch by patch."""
Draw = np.random.Generator
Mask = npt.NDArray[np.bool_]


def hidden_patches(grid: int, place: tuple[float, float] | None, config: CuriaConfig, draw: Draw) -> Tensor:
    """Marks ``[grid, grid]`` of hidden patches: none, or exactly the share that is drawn, one at least.

    Args:
        grid: patches along a side of the crop.
        place: the anatomy's centre in this grid (`in_grid`), which blocks lie around; None: blocks lie anywhere.
        config: shares and shapes.
        draw: randomness.
    """
    hidden = np.zeros((grid, grid), bool)
    if draw.random() < config.mask_probability:
        weight = np.ones(hidden.shape) if place is None else gaussian(hidden.shape, place, config.mask_sigma)
        count = max(1, round(draw.uniform(*config.mask_ratio) * hidden.size))
        for _ in range(BLOCKS):
            if (missing := count - int(hidden.sum())) <= 0:
                break
            block = _block(grid, missing, None if place is None else weight, config, draw)
            new = np.flatnonzero(block & ~hidden)
            hidden.flat[new[:missing]] = True
        if missing := count - int(hidden.sum()):
            hidden.flat[_singles(hidden, weight, missing, draw)] = True
    return torch.from_numpy(hidden)


def in_grid(centre: tuple[float, float], box: Box, grid: int) -> tuple[float, float]:
    """A place in the slice, in pixels, as one in the grid of a crop's patches; it may lie outside.

    So the prior stays with the anatomy wherever the crop was cut: its centre is shifted by the crop's offset.
    """
    return (centre[0] - box.top) / box.height * grid, (centre[1] - box.left) / box.width * grid


def _block(grid: int, missing: int, weight_HW: Weights | None, config: CuriaConfig, draw: Draw) -> Mask:
    """A rectangle of random area and aspect."""
    high = max(1.0, min(config.mask_block * grid**2, missing))
    area = draw.uniform(min(FEWEST, high), high)
    most = abs(math.log(config.mask_aspect))
    stretch = math.exp(draw.uniform(-most, most))
    height, width = (min(grid, max(1, round(math.sqrt(area * s)))) for s in (stretch, 1 / stretch))
    if weight_HW is None:
        top, left = int(draw.integers(grid - height + 1)), int(draw.integers(grid - width + 1))
    else:
        row, column = divmod(int(draw.choice(grid**2, p=(weight_HW / weight_HW.sum()).ravel())), grid)
        top, left = min(max(0, row - height // 2), grid - height), min(max(0, column - width // 2), grid - width)
    block = np.zeros((grid, grid), bool)
    block[top : top + height, left : left + width] = True
    return block


def _singles(hidden: Mask, weight_HW: Weights, count: int, draw: Draw) -> npt.NDArray[np.int64]:
    """``count`` patches not yet hidden; those around the anatomy likelier."""
    left = np.flatnonzero(~hidden)
    likely = weight_HW.ravel()[left] + 1e-12  # far from the anatomy a weight may be 0, and so many are wanted
    return np.asarray(draw.choice(left, count, replace=False, p=likely / likely.sum()))
