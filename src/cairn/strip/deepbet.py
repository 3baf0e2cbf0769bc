"""deepbet's brain mask, from the weights that lie inside its wheel (10 MB, MIT licence), without its code.

Method: Fisch et al., deepbet: Fast brain extraction of T1-weighted MRI using convolutional neural networks,
Comput. Biol. Med. 2024. A first network finds the brain's box in the whole head at 128^3 voxels; a second segments that
box at 256^3. The package itself is not installed: it puts a folder ``data`` straight into site-packages, and pins more
than these two networks need.
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
        side: voxels along each side of the brain network's input; 256 is the published size, 128 costs an eighth.
        threads: torch threads; results are bitwise repeatable at a fixed number.

    Raises:
        CairnError: when the wheel is missing or holds no weights, or ``side`` is no multiple of 32.
    """

    def __init__(self, wheel: Path, side: int = FULL_SIDE, threads: int = 1) -> None:
        if side % STRIDE or side <= 0:
            raise CairnError(f"deepbet cannot work at {side} voxels.", f"Choose a multiple of {STRIDE}.", "config")
        torch.set_num_threads(threads)
        self.side = side
        self._box_model = _load(wheel, "data/models/bbox_model.pt")
        self._model = _load(wheel, "data/models/model.pt")

    def mask(self, data: npt.NDArray[np.float32], zooms: Sequence[float]) -> Mask:
        """Brain mask of one head.

        Args:
            data: whole head ``[X, Y, Z]`` in RAS order, any positive intensity scale.
            zooms: voxel sizes in mm.

        Raises:
            CairnError: code ``no-brain`` when no brain is found.
        """
        return self.masks([data], [zooms])[0]

    def masks(self, heads: Sequence[npt.NDArray[np.float32]], zooms: Sequence[Sequence[float]]) -> list[Mask]:
        """Brain masks of several heads, which may differ in shape: one forward of each network for all.

        The masks are those of `mask`, head by head: the networks normalise each sample by itself.
        """
        if len(heads) != len(zooms):
            raise ValueError(f"{len(heads)} heads, but {len(zooms)} voxel sizes")
        volumes = [torch.from_numpy(np.ascontiguousarray(np.nan_to_num(h), np.float32))[None, None] for h in heads]
        windows, boxes = self._find_boxes(volumes)
        crops = [v[(..., *box)] for v, box in zip(volumes, boxes, strict=True)]
        inputs = [_normalise(_nearest(c, self.side), w) for c, w in zip(crops, windows, strict=True)]
        probabilities = _forward(self._model, torch.cat(inputs))
        out = []
        for head, box, crop, probability in zip(heads, boxes, crops, probabilities, strict=True):
            size = crop.shape[2:]
            full = F.interpolate(probability[None, None], size, mode="trilinear", align_corners=False)[0, 0]
            mask = np.zeros(head.shape, bool)
            mask[box] = fill_holes(_brain(full.numpy() > 0.5))
            out.append(mask)
        return out

    def _find_boxes(self, volumes: list[torch.Tensor]) -> tuple[list[tuple[float, float]], list[Box]]:
        small = [_nearest(v, BOX_SIDE) for v in volumes]
        windows = [_window(s) for s in small]
        inputs = torch.cat([_normalise(s, w) for s, w in zip(small, windows, strict=True)])
        found = [_brain(p.numpy() > 0.5) for p in _forward(self._box_model, inputs)]
        return windows, [_box(m, tuple(v.shape[2:])) for m, v in zip(found, volumes, strict=True)]


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
    return torch.jit.load(io.BytesIO(data), map_location="cpu").eval()  # type: ignore[no-untyped-call]


def _forward(model: Any, x_B1XYZ: torch.Tensor) -> torch.Tensor:
    """Probability of brain, ``[B, X, Y, Z]``."""
    with torch.inference_mode():
        out: torch.Tensor = model(x_B1XYZ)[:, 1]
    return out


def _nearest(x_11XYZ: torch.Tensor, side: int) -> torch.Tensor:
    return F.interpolate(x_11XYZ, (side, side, side), mode="nearest-exact")


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


def _box(small: Mask, shape: tuple[int, ...]) -> Box:
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
