"""Where crops come from: around the brain, two that overlap, small ones inside a large one.

What is kept of a session's mask is its box (`Session.brain_box`) and some of its voxels, about 1 kB.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cairn.io.sessions import Session
from cairn.ssl.crops import brain_spans

ANCHORS = 128
SESSIONS = 100_000
Draw = np.random.Generator
Whole = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Brain:
    """Where in its box the brain of a session is, in voxels of its grid."""

    anchors: npt.NDArray[np.int16]
    """Voxels of the brain, spread evenly, ``[A, 3]``."""
    reach: int
    """Half the distance between neighbouring anchors."""


@lru_cache(maxsize=SESSIONS)
def brain(session: Session) -> Brain:
    """The brain of a session; where its mask is empty, the whole grid."""
    mask = session.mask()
    voxels = np.argwhere(mask if mask.any() else np.ones_like(mask))
    apart = max(1, len(voxels) // ANCHORS)
    anchors = voxels[apart // 2 :: apart][:ANCHORS].astype(np.int16)
    return Brain(anchors, math.ceil(apart ** (1 / 3) / 2))


def crop_origin(session: Session, size: Sequence[int], draw: Draw) -> Whole:
    """Origin ``[3]`` of a crop around a voxel of the brain; inside the brain's box, or around it, where it can be."""
    place = brain(session)
    low, high = _allowed(session, size)
    return _clip(_centre(place, place.anchors, draw) - np.array(size) // 2, low, high)


def partner_origin(session: Session, first: Whole, size: Sequence[int], overlap: float, draw: Draw) -> Whole:
    """Origin ``[3]`` of a second crop that covers a share of at least ``overlap`` of the first along each axis."""
    low, high = _allowed(session, size)
    most = np.array([n - math.ceil(overlap * n) for n in size])
    return _clip(first + draw.integers(-most, most + 1), low, high)


def inner_origin(session: Session, outer: Whole, outer_size: Sequence[int], size: Sequence[int], draw: Draw) -> Whole:
    """Origin ``[3]`` of a crop inside the one at ``outer``, around a voxel of the brain if that one has any."""
    place = brain(session)
    inside = ((place.anchors >= outer) & (place.anchors < outer + np.array(outer_size))).all(axis=1)
    anchors = place.anchors[inside] if inside.any() else place.anchors
    slack = np.array(outer_size) - np.array(size)
    return _clip(_centre(place, anchors, draw) - np.array(size) // 2, outer, outer + slack)


def box_of_two(
    session: Session, sequence: str, size: Sequence[int], overlap: float, draw: Draw
) -> tuple[Tensor, tuple[Whole, Whole]]:
    """The box ``[X, Y, Z]`` around two overlapping crops of one scan, and the origin of each in it, ``[3]`` voxels.

    The box is to be flipped, turned and scaled as one, then cut (`two_of`): what overlaps shows the same place.
    """
    first = crop_origin(session, size, draw)
    second = partner_origin(session, first, size, overlap, draw)
    corner = np.minimum(first, second)
    box = np.maximum(first, second) + np.array(size) - corner
    return torch.from_numpy(session.patch(sequence, corner.tolist(), box.tolist())), (first - corner, second - corner)


def two_of(box_XYZ: Tensor, origins: Sequence[Whole], size: Sequence[int]) -> Tensor:
    """The crops of ``size`` at ``origins`` of a box, ``[2, X, Y, Z]``, on its device."""
    return torch.stack(
        [box_XYZ[tuple(slice(o, o + n) for o, n in zip(origin, size, strict=True))] for origin in origins]
    )


def _centre(place: Brain, anchors: npt.NDArray[np.int16], draw: Draw) -> Whole:
    jitter = draw.integers(-place.reach, place.reach + 1, 3)
    return np.asarray(anchors[int(draw.integers(len(anchors)))] + jitter, np.int64)


def _clip(origin: Whole, low: Whole, high: Whole) -> Whole:
    return np.asarray(np.clip(origin, low, high), np.int64)


def _allowed(session: Session, size: Sequence[int]) -> tuple[Whole, Whole]:
    """First and last origin of a crop, ``[3]`` each, as `brain_spans` has them axis by axis."""
    first, last = np.array(brain_spans(session, size)).T
    return first, last
