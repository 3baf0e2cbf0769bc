"""Blocks of the deepest grid: what JEPA predicts, and what it predicts from (Assran et al. 2023, in 3D)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from cairn.config.latents import JepaConfig

Draw = np.random.Generator


def target_and_context(grid: Sequence[int], config: JepaConfig, draw: Draw) -> tuple[Tensor, Tensor]:
    """Marks ``[x, y, z]`` of the target blocks' voxels, and of the context's; no voxel is both, neither is empty.

    Every target block is shorter than the grid along each axis, so it covers one of the grid's corners at most, and
    seven leave a corner. Where the context block misses all that is left, everything left is the context.
    """
    target = torch.zeros(tuple(grid), dtype=torch.bool)
    for _ in range(config.targets):
        share = draw.uniform(*config.target_share)
        target |= _block(grid, _sides(grid, share, config.stretch, 1, draw), draw)
    share = draw.uniform(*config.context_share)
    context = _block(grid, _sides(grid, share, 1.0, 0, draw), draw) & ~target
    return target, context if context.any() else ~target


def _sides(grid: Sequence[int], share: float, stretch: float, less: int, draw: Draw) -> list[int]:
    """Sides of a block of about ``share`` of the grid's voxels, at least ``less`` shorter than the grid."""
    logs = draw.uniform(-1, 1, 3) * math.log(stretch)
    factors = np.exp(logs - logs.mean()) * share ** (1 / 3)
    return [int(np.clip(round(n * f), 1, n - less)) for n, f in zip(grid, factors, strict=True)]


def _block(grid: Sequence[int], sides: Sequence[int], draw: Draw) -> Tensor:
    marks = torch.zeros(tuple(grid), dtype=torch.bool)
    origin = [int(draw.integers(n - s + 1)) for n, s in zip(grid, sides, strict=True)]
    marks[tuple(slice(o, o + s) for o, s in zip(origin, sides, strict=True))] = True
    return marks
