"""THE function from raw values to the input of a slice encoder: the published processor's order, version by version.

Curia's model card and processor: raw Hounsfield units or raw MR values, no window; resized to a square, bicubic and
antialiased; z-scored; float32. Two things changed between its versions (`cairn.config.slices`). The first casts to
int16, which wraps what does not fit; here such a volume is divided by a slope first, as scanners store it, and the card
names the slope: the z-score takes it out again, but for the rounding. What the material does not say: whether the
deviation counts n or n - 1 values (here n), and whether its epsilon is added to the deviation (here) or under the root;
for a slice of 512^2 pixels both are below float32's own error of the result, but for the epsilon where a scan is all
but constant.
"""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from cairn.config.slices import SliceContract
from cairn.errors import CairnError
from cairn.preprocess.native import AIR_HU

INT16 = 32767
EPS = 1e-6
LOOK = "Look at the scan; remove it, or mend how it was read."


def network_input(image: npt.NDArray[Any] | Tensor, contract: SliceContract) -> tuple[Tensor, str]:
    """Float32 ``[S, size_px, size_px]`` of a stack ``[S, H, W]``, or ``[size_px, size_px]`` of one slice ``[H, W]``.

    Args:
        image: raw values in a published orientation (`cairn.slices.orient`), any number type.
        contract: version, clip, size.

    Returns:
        The input, and the contract's name for the card, with the slope where there is one. A slice that is constant
        becomes 0.

    Raises:
        CairnError: ``not-finite`` for NaN or infinity; ``shape`` for what is no slice or stack.
    """
    raw = torch.as_tensor(np.ascontiguousarray(image) if isinstance(image, np.ndarray) else image)
    if raw.ndim not in (2, 3) or not raw.numel():
        reason = f"An image of shape {tuple(raw.shape)} is neither a slice [H, W] nor a stack [S, H, W]."
        raise CairnError(reason, "Give slices along the first axis.", "shape")
    x = raw.to(torch.float32)
    if not x.isfinite().all():
        raise CairnError(f"{int((~x.isfinite()).sum())} values of the image are not finite.", LOOK, "not-finite")
    stack = x if x.ndim == 3 else x[None]
    slope = int16_slope(stack, contract)
    scaled = as_int16(stack, slope) / INT16 if contract.version == "curia-1" else stack
    if contract.clip_below_air:
        scaled = scaled.clamp(min=AIR_HU)  # after the division, as published: curia-1 keeps what lies below air
    dim = (0, 1, 2) if contract.version == "curia-1" else (1, 2)
    varied = scaled.amax(dim, keepdim=True) > scaled.amin(dim, keepdim=True)  # else rounding would be blown up to 1
    made = torch.where(varied, _zscored(resized(scaled, contract.size_px), dim), 0.0)
    return (made if x.ndim == 3 else made[0]), contract.name + (f", divided by {slope}" if slope > 1 else "")


def resized(stack_SHW: Tensor, size_px: int) -> Tensor:
    """Every slice to a square: bicubic, antialiased; the aspect is not kept, as published."""
    if stack_SHW.shape[1:] == (size_px, size_px):
        return stack_SHW
    square = (size_px, size_px)
    return functional.interpolate(stack_SHW[:, None], square, mode="bicubic", antialias=True, align_corners=False)[:, 0]


def int16_slope(volume: npt.NDArray[Any] | Tensor, contract: SliceContract) -> int:
    """What a volume, or a slice by itself, is divided by for the cast of ``curia-1``: the least whole number that does.

    1 where int16 holds its values, and in other versions.
    """
    if contract.version != "curia-1":
        return 1
    return max(1, ceil(float(volume.max()) / INT16), ceil(-float(volume.min()) / (INT16 + 1)))


def as_int16(x: Tensor, slope: int) -> Tensor:
    """Whole numbers towards 0, as a cast to int16 gives them, of values over a slope."""
    return (x / slope).trunc() if slope > 1 else x.trunc()


def _zscored(stack_SHW: Tensor, dim: tuple[int, ...]) -> Tensor:
    centred = stack_SHW - stack_SHW.mean(dim=dim, keepdim=True, dtype=torch.float64).to(torch.float32)
    deviation = centred.double().square().mean(dim=dim, keepdim=True).sqrt().to(torch.float32)
    return centred / (deviation + EPS)
