"""THE function from raw values to the input of a slice encoder: the published processor's order, version by version.

Curia's model card and processor: raw Hounsfield units or raw MR values, no window; resized to a square, bicubic and
antialiased; z-scored; float32. Two things changed between its versions (`cairn.config.slices`). What the material does
not say: whether the deviation counts n or n - 1 values (here n), and whether its epsilon is added to the deviation
(here) or under the root; for a slice of 512^2 pixels both are below float32's own error of the result, but for the
epsilon where a scan is all but constant.
"""

from __future__ import annotations

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
        The input, and the contract's name for the card. A slice that is constant becomes 0.

    Raises:
        CairnError: ``not-finite`` for NaN or infinity; ``shape`` for what is no slice or stack; ``range`` in version
            curia-1 for values that int16 does not hold.
    """
    raw = torch.as_tensor(np.ascontiguousarray(image) if isinstance(image, np.ndarray) else image)
    if raw.ndim not in (2, 3) or not raw.numel():
        reason = f"An image of shape {tuple(raw.shape)} is neither a slice [H, W] nor a stack [S, H, W]."
        raise CairnError(reason, "Give slices along the first axis.", "shape")
    x = raw.to(torch.float32)
    if not x.isfinite().all():
        raise CairnError(f"{int((~x.isfinite()).sum())} values of the image are not finite.", LOOK, "not-finite")
    stack = x if x.ndim == 3 else x[None]
    scaled = _as_int16(stack) / INT16 if contract.version == "curia-1" else stack
    if contract.clip_below_air:
        scaled = scaled.clamp(min=AIR_HU)  # after the division, as published: curia-1 keeps what lies below air
    dim = (0, 1, 2) if contract.version == "curia-1" else (1, 2)
    varied = scaled.amax(dim, keepdim=True) > scaled.amin(dim, keepdim=True)  # else rounding would be blown up to 1
    made = torch.where(varied, _zscored(resized(scaled, contract.size_px), dim), 0.0)
    return (made if x.ndim == 3 else made[0]), contract.name


def resized(stack_SHW: Tensor, size_px: int) -> Tensor:
    """Every slice to a square: bicubic, antialiased; the aspect is not kept, as published."""
    if stack_SHW.shape[1:] == (size_px, size_px):
        return stack_SHW
    square = (size_px, size_px)
    return functional.interpolate(stack_SHW[:, None], square, mode="bicubic", antialias=True, align_corners=False)[:, 0]


def _as_int16(stack_SHW: Tensor) -> Tensor:
    """Whole numbers towards 0, as a cast to int16 gives them; what it does not hold is refused, not wrapped."""
    refuse_beyond_int16(float(stack_SHW.min()), float(stack_SHW.max()))
    return stack_SHW.trunc()


def refuse_beyond_int16(low: float, high: float) -> None:
    """Refuse values that the cast of ``curia-1`` would wrap.

    Raises:
        CairnError: code ``range``.
    """
    if low < -INT16 - 1 or high > INT16:
        reason = f"Contract curia-1 casts to int16, and the image has values from {low:g} to {high:g}."
        raise CairnError(reason, "Take contract curia-2, or look at how the scan was read.", "range")


def _zscored(stack_SHW: Tensor, dim: tuple[int, ...]) -> Tensor:
    centred = stack_SHW - stack_SHW.mean(dim=dim, keepdim=True, dtype=torch.float64).to(torch.float32)
    deviation = centred.double().square().mean(dim=dim, keepdim=True).sqrt().to(torch.float32)
    return centred / (deviation + EPS)
