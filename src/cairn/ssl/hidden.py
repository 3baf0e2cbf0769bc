"""Cubes that are hidden from an encoder, and the error of what it fills in."""

from __future__ import annotations

from torch import Tensor


def cubes(coarse_NXYZ: Tensor, unit: int) -> Tensor:
    """Each voxel as a cube of side ``unit``, ``[N, X unit, Y unit, Z unit]``."""
    for axis in (1, 2, 3):
        coarse_NXYZ = coarse_NXYZ.repeat_interleave(unit, dim=axis)
    return coarse_NXYZ


def hide(x_NXYZ: Tensor, hidden_NXYZ: Tensor) -> Tensor:
    """``x`` with 0 in the cubes that ``hidden`` (coarser by a whole number) marks."""
    return x_NXYZ.masked_fill(cubes(hidden_NXYZ, x_NXYZ.shape[1] // hidden_NXYZ.shape[1]), 0.0)


def reconstruction_error(image_NXYZ: Tensor, target_NXYZ: Tensor, hidden_NXYZ: Tensor | None) -> Tensor:
    """Mean squared error, over the voxels that ``hidden`` marks if it is given."""
    error = (image_NXYZ - target_NXYZ) ** 2
    if hidden_NXYZ is None:
        return error.mean()
    marked = hidden_NXYZ.to(error.dtype)
    return (error * marked).sum() / marked.sum()
