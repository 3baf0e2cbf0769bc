"""Features of the place that two overlapping crops have in common (ROI align: He et al. 2017, in 3D)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cairn.ssl.heads import full_precision


def common_region(shift_N3: Tensor, size: Sequence[int], stride: int) -> tuple[Tensor, Tensor]:
    """Edges (low, high) of the common region in the first crop's voxels, ``[N, 3]``; the second's are less ``shift``.

    A margin of half a feature voxel at the crops' faces is left out: there one crop would have to extrapolate, and
    the two would show different places.

    Args:
        shift_N3: the second crop's place minus the first's, in voxels.
        size: of a crop.
        stride: voxels to a feature voxel.
    """
    shift = shift_N3.double()
    room = torch.tensor(list(size), dtype=torch.float64, device=shift.device) - stride / 2
    return shift.clamp_min(0) + stride / 2, torch.minimum(room, room + shift)


def roi_align(x_NCXYZ: Tensor, low_N3: Tensor, high_N3: Tensor, stride: int, points: int) -> Tensor:
    """Features ``[N, C, P, P, P]`` at the centres of P^3 bins between ``low`` and ``high``, trilinear.

    As products with small matrices, axis by axis: the same as ``grid_sample``, whose gradient on a GPU is not
    repeatable.

    Args:
        x_NCXYZ: features.
        low_N3: first edge of the region in voxels of the input, 0 at the crop's face.
        high_N3: last edge.
        stride: voxels of the input to a feature voxel.
        points: P.
    """
    bins = (torch.arange(points, dtype=torch.float64, device=x_NCXYZ.device) + 0.5) / points
    matrices = []
    for axis in range(3):
        place = low_N3[:, axis, None] + (high_N3 - low_N3)[:, axis, None] * bins
        count = x_NCXYZ.shape[2 + axis]
        nearest = (place / stride - 0.5).clamp(0, count - 1)
        weight = 1 - (nearest[:, :, None] - torch.arange(count, device=x_NCXYZ.device)).abs()
        matrices.append(weight.clamp_min(0).to(x_NCXYZ.dtype))
    with full_precision(x_NCXYZ):
        return torch.einsum("ncxyz,npx,nqy,nrz->ncpqr", x_NCXYZ, *matrices)
