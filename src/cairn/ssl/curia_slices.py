"""Slices to learn from: a random one of a session's shard as a slice encoder sees it, and where in it content is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from cairn.config.curia import CuriaConfig
from cairn.config.slices import Plane, SliceContract
from cairn.io.sessions import Session
from cairn.slices.contract import EPS, INT16, as_int16, int16_slope, network_input, resized
from cairn.slices.orient import read_slice, slice_count, stack_of
from cairn.ssl.curia_content import Content

VOLUMES = 100_000
CT = "CT"
MASK = "mask"  # the mask lies in the shard beside the sequences, so that one slice of it can be read alone
Draw = np.random.Generator
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Slice:
    """A slice ``[H, W]`` as a slice encoder sees it, of the contract's size."""

    image: Tensor
    content: Content
    plane: Plane


def draw_slice(session: Session, config: CuriaConfig, draw: Draw) -> Slice:
    """A random slice, in a random plane, of a random sequence, that has content; of some without, that with most.

    Only single slices are read: first the mask's, and the image's where there is enough of the mask.
    """
    sequence = _sequence(session, config.ct_share, draw)
    planes, best = config.contract.planes, None
    for _ in range(config.slice_tries):
        plane = planes[int(draw.integers(len(planes)))]
        number = int(draw.integers(slice_count(session, plane)))
        inside = read_slice(session, MASK, plane, number) > 0
        if best and inside.mean() <= best[0]:
            continue
        raw = read_slice(session, sequence, plane, number)
        content = inside & (raw > _air(raw, inside, sequence, config))
        share = float(content.mean())
        if best is None or share > best[0]:
            best = share, plane, raw, content
        if share >= config.min_slice_content:
            break
    assert best  # one is drawn at least
    _, plane, raw, content = best
    image = _input(session, sequence, plane, raw, config.contract)
    return Slice(image, Content(_stretched(content, config.contract.size_px), config.crop_sigma), plane)


def _sequence(session: Session, ct_share: float | None, draw: Draw) -> str:
    names = session.sequences
    ct = [name for name in names if is_ct(name)]
    if ct_share is not None and 0 < len(ct) < len(names):
        names = ct if draw.random() < ct_share else [name for name in names if not is_ct(name)]
    return names[int(draw.integers(len(names)))]


def is_ct(sequence: str) -> bool:
    """Whether a sequence, or a repeat of one (``CT_2``), holds Hounsfield units."""
    return sequence.split("_")[0] == CT


def _air(raw_HW: Array, inside_HW: Array, sequence: str, config: CuriaConfig) -> float:
    """Value up to which a pixel is air. MRI has no unit: it is told from the bright pixels of the same slice."""
    if is_ct(sequence):
        return config.air_hu
    return config.air_share * float(np.percentile(raw_HW[inside_HW], 99)) if inside_HW.any() else 0.0


def _stretched(content_HW: Array, size_px: int) -> npt.NDArray[np.bool_]:
    """Content on the square that the image is resized to."""
    square = torch.from_numpy(np.ascontiguousarray(content_HW, np.float32))[None, None]
    return np.asarray(functional.interpolate(square, (size_px, size_px), mode="nearest-exact")[0, 0].numpy() > 0.5)


def _input(session: Session, sequence: str, plane: Plane, raw_HW: Array, contract: SliceContract) -> Tensor:
    """The slice as the contract has it, ``[size_px, size_px]``."""
    if contract.version == "curia-2":
        return network_input(raw_HW, contract)[0]
    slope, mean, deviation = _volume_levels(session, sequence, plane, contract)
    return (_cast(raw_HW, slope, contract) - mean) / (deviation + EPS * INT16)


def _cast(raw_HW: Array, slope: int, contract: SliceContract) -> Tensor:
    """A slice as ``curia-1`` casts it, over the slope of its volume, resized: ``[size_px, size_px]``."""
    return resized(as_int16(torch.from_numpy(np.ascontiguousarray(raw_HW))[None], slope), contract.size_px)[0]


@lru_cache(maxsize=VOLUMES)
def _volume_levels(
    session: Session, sequence: str, plane: Plane, contract: SliceContract
) -> tuple[int, float, float]:  # fmt: skip
    """Slope of a volume, and mean and deviation of its resized stack over that, slice by slice, so that it never lies
    in memory at once; kept once read.

    In the volume's own numbers: the contract's division by 32767 only means that its epsilon counts so many times more.
    """
    count, total, squares = 0, 0.0, 0.0
    volume = session.volume(sequence)
    slope = int16_slope(volume, contract)
    for image in stack_of(volume, plane):
        whole = _cast(image, slope, contract).double()
        count, total, squares = count + whole.numel(), total + float(whole.sum()), squares + float((whole**2).sum())
    mean = total / count
    return slope, mean, float(np.sqrt(max(0.0, squares / count - mean**2)))
