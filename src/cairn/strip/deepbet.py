"""deepbet's brain mask, from the weights that lie inside its wheel (10 MB, MIT licence), without its code.

Method: Fisch et al., deepbet: Fast brain extraction of T1-weighted MRI using convolutional neural networks,
Comput. Biol. Med. 2024. A first network finds the brain's box in the whole head at 128^3 voxels; a second segments
that box at 256^3. The first alone, its mask carried back smoothly, agrees with the second to a Dice of 0.982 to 0.990
on five heads, at a tenth of the cost (the second at 128^3 does far worse, 0.89 to 0.94: it was trained at one scale; at
192^3 it reaches 0.986 to 0.992 at a third of the cost). The package itself is not installed: it puts a folder ``data``
straight into site-packages, and pins more than these two networks need.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812

from cairn.errors import CairnError
from cairn.strip.morphology import fill_holes, largest_component

BOX_SIDE = 128  # the box network was trained on whole heads at this size
FULL_SIDE = 256  # the brain network was trained on boxes at this size
STRIDE = 32  # both halve their input five times
MARGIN = 0.1  # of the box's size, on each side, as in the package
NO_BRAIN = "Check that the scan shows a head; else name a brain mask or another strip method."

Mask = npt.NDArray[np.bool_]
Box = tuple[slice, slice, slice]


class DeepBet:
    """The two networks of deepbet 1.0.2.

    Args:
        wheel: ``deepbet-1.0.2-py3-none-any.whl``, its checksum verified by the caller's `fetch`.
        side: voxels along each side of the brain network's input: 256 as published, 192 for a third of the cost; None
            takes the mask of the box network alone, for a tenth.
        threads: torch threads; results are bitwise repeatable at a fixed number.

    Raises:
        CairnError: when the wheel is missing or holds no weights, or ``side`` is no multiple of 32.
    """

    def __init__(self, wheel: Path, side: int | None = FULL_SIDE, threads: int = 1) -> None:
        if side is not None and (side % STRIDE or side <= 0):
            raise CairnError(f"deepbet cannot work at {side} voxels.", f"Choose a multiple of {STRIDE}.", "config")
        torch.set_num_threads(threads)
        self.side = side
        self._box_model = _load(wheel, "data/models/bbox_model.pt")
        self._model = None if side is None else _load(wheel, "data/models/model.pt")

    def mask(self, data: npt.NDArray[np.float32], zooms: Sequence[float]) -> Mask:
        """Brain mask of one head. (Several heads a forward gain nothing on a CPU: measured 0.8 to 1.15 of the time.)

        Args:
            data: whole head ``[X, Y, Z]`` in RAS order, any positive intensity scale.
            zooms: voxel sizes in mm; as published, the networks see every head stretched to a cube and do not use them.

        Raises:
            CairnError: code ``no-brain`` when no brain is found.
        """
        head = torch.from_numpy(np.ascontiguousarray(data, np.float32))[None, None]
        small = _nearest(head, BOX_SIDE)
        window = _window(small)
        found = _forward(self._box_model, _normalise(small, window))
        if self.side is None:
            return _upsampled(found, head.shape[2:])
        box = _box(_brain(found.numpy() > 0.5), head.shape[2:])
        crop = head[(..., *box)]
        brain = _forward(self._model, _normalise(_nearest(crop, self.side), window))
        mask = np.zeros(data.shape, bool)
        mask[box] = _upsampled(brain, crop.shape[2:])
        return mask


def _load(wheel: Path, member: str) -> Any:
    """A TorchScript archive out of the wheel.

    TorchScript is the format in which deepbet publishes its weights: a program in torch's own restricted language,
    not a pickle of Python objects, and is read only from an archive whose SHA-256 `fetch` has compared with the pin.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(member)
    except (OSError, KeyError, zipfile.BadZipFile):
        raise CairnError(
            f"{wheel}: holds no deepbet weights ({member}).", "Fetch the resources again.", code="resource"
        ) from None
    network = torch.jit.load(io.BytesIO(data), map_location="cpu").eval()  # type: ignore[no-untyped-call]
    # Has oneDNN do the small convolutions too, which torch would do itself: less than half of the time, and
    # probabilities that differ by 1e-5.
    return torch.jit.optimize_for_inference(network)


def _forward(model: Any, x_11XYZ: torch.Tensor) -> torch.Tensor:
    """Probability of brain, ``[X, Y, Z]``."""
    with torch.inference_mode():
        out: torch.Tensor = model(x_11XYZ)[0, 1]
    return out


def _nearest(x_11XYZ: torch.Tensor, side: int) -> torch.Tensor:
    return F.interpolate(x_11XYZ, (side, side, side), mode="nearest-exact").nan_to_num()


def _window(x: torch.Tensor) -> tuple[float, float]:
    low, high = np.percentile(x.numpy(), (0.5, 99.5))
    return float(low), float(max(high, low + 1e-6))


def _normalise(x: torch.Tensor, window: tuple[float, float]) -> torch.Tensor:
    low, high = window
    x = ((x - low) / (high - low)).clamp(0, 1)
    return 0.226 * (x - x.mean()) / x.std().clamp(min=1e-6) + 0.449  # ImageNet's grey, as trained


def _brain(mask: Mask) -> Mask:
    if not mask.any():
        raise CairnError("deepbet finds no brain in the scan.", NO_BRAIN, code="no-brain")
    return largest_component(mask)


def _upsampled(probability: torch.Tensor, shape: Sequence[int]) -> Mask:
    """Brain of a probability map, without islands and holes, at ``shape``.

    Cleaned while small: cleaning 256^3 voxels costs more than the network at 128^3.
    """
    p = probability.numpy()
    brain = fill_holes(_brain(p > 0.5))
    clean = np.where(brain, np.where(p > 0.5, p, 1), np.where(p > 0.5, 0, p)).astype(np.float32)
    full = F.interpolate(torch.from_numpy(clean)[None, None], tuple(shape), mode="trilinear", align_corners=False)
    return np.asarray(full[0, 0].numpy() > 0.5)


def _box(small: Mask, shape: Sequence[int]) -> Box:
    """Box around ``small`` in a volume of ``shape``, with the margin, clipped to the volume."""
    slices = []
    for axis, length in enumerate(shape):
        others = tuple(a for a in range(3) if a != axis)
        inside = np.flatnonzero(small.mean(axis=others) > 0.02)
        if inside.size == 0:
            raise CairnError("deepbet finds next to no brain in the scan.", NO_BRAIN, code="no-brain")
        first, last, scale = inside[0], inside[-1] + 1, length / small.shape[axis]
        center, size = round((first + last) / 2 * scale), round((last - first) * scale * (1 + 2 * MARGIN))
        slices.append(slice(max(0, int(center - size / 2)), min(length, int(center + size / 2))))
    return slices[0], slices[1], slices[2]
