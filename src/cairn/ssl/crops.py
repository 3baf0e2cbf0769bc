"""Where crops lie: in the brain, and two of them with a region in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cairn.config.augment import IntensityConfig, SpatialConfig
from cairn.config.contrastive import PairConfig
from cairn.io.sessions import Session
from cairn.ssl.augment import Changes, apply_intensity, apply_spatial, draw_intensity, draw_spatial
from cairn.ssl.cuts import Cut

Voxels = tuple[int, int, int]


class Span(NamedTuple):
    """Origins that a crop may have along one axis: ``first`` to ``last``, both included."""

    first: int
    last: int

    def draw(self, draw: np.random.Generator) -> int:
        """One of them, all equally likely."""
        return int(draw.integers(self.first, self.last + 1))


def brain_spans(session: Session, size: Sequence[int]) -> list[Span]:
    """Origins, axis by axis, of crops of ``size`` voxels that lie in the box around the brain.

    Along an axis where the box is shorter than the crop, the crop holds the whole box and stays in the grid. Where
    even the grid is shorter, it stands centred.
    """
    spans = []
    for grid, low, high, side in zip(session.geometry.shape, *session.brain_box(), size, strict=True):
        if grid < side:
            spans.append(Span((grid - side) // 2, (grid - side) // 2))
        else:
            first, last = sorted((low, high - side))
            spans.append(Span(max(first, 0), min(last, grid - side)))
    return spans


def brain_origin(session: Session, size: Voxels, draw: np.random.Generator) -> list[int]:
    """Origin of a random crop in the brain."""
    return [span.draw(draw) for span in brain_spans(session, size)]


def overlapping_origins(
    session: Session, size: Voxels, overlap: float, draw: np.random.Generator
) -> tuple[list[int], list[int]]:
    """Origins of two crops in the brain that have at least the share ``overlap`` in common along each axis."""
    spans = brain_spans(session, size)
    one = [span.draw(draw) for span in spans]
    other = []
    for span, origin, side in zip(spans, one, size, strict=True):
        reach = int((1 - overlap) * side + 1e-9)  # 0.9 of 10 voxels leaves one, which a float may miss
        other.append(Span(max(span.first, origin - reach), min(span.last, origin + reach)).draw(draw))
    return one, other


class CropChanges(NamedTuple):
    """What one crop undergoes on its own: moves, then changes of intensity."""

    moves: Changes
    tones: Changes

    def apply(self, x_XYZ: Tensor) -> Tensor:
        """The crop after both, on its device."""
        return apply_intensity(apply_spatial(x_XYZ[None], self.moves)[0].contiguous(), self.tones)


def draw_changes(
    moves: SpatialConfig, tones: IntensityConfig, size: Voxels, draw: np.random.Generator, seeded: bool = False
) -> CropChanges:
    """What a crop of ``size`` undergoes; ``seeded`` as in `draw_intensity`."""
    return CropChanges(draw_spatial(moves, draw), draw_intensity(tones, size, draw, seeded))


def two_crops(
    session: Session, sequences: Sequence[str], config: PairConfig, draw: np.random.Generator, seeded: bool = False
) -> tuple[list[Tensor], list[CropChanges]]:
    """Two overlapping crops ``[X, Y, Z]`` of a session, of the two ``sequences``, and what each is to undergo."""
    size = config.patch_voxels
    origins = overlapping_origins(session, size, config.overlap, draw)
    crops, changes = [], []
    for sequence, origin in zip(sequences, origins, strict=True):
        crops.append(torch.from_numpy(session.patch(sequence, origin, size)))
        changes.append(draw_changes(config.spatial, config.intensity, size, draw, seeded))
    return crops, changes


def named(names: Sequence[str], crops: Sequence[Tensor], changes: Sequence[CropChanges]) -> Cut:
    """A cut of crops with names, each with changes of its own."""
    return Cut(dict(zip(names, crops, strict=True)), dict(zip(names, changes, strict=True)))


def changed_crops(cut: Cut) -> dict[str, Tensor]:
    """The crops of `named`, changed."""
    return {name: cut.drawn[name].apply(crop) for name, crop in cut.tensors.items()}


def one_sequence(session: Session, draw: np.random.Generator) -> str:
    """A random sequence of the session."""
    return session.sequences[int(draw.integers(len(session.sequences)))]


def two_sequences(session: Session, draw: np.random.Generator) -> list[str]:
    """Two different sequences of the session in random order; of a session with one, the same twice."""
    names = session.sequences
    return [names[i] for i in draw.permutation(len(names))[:2]] if len(names) > 1 else names * 2
