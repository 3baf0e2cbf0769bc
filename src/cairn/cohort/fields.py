"""Smooth random fields, deformations and sampling on torch grids. Arrays are ``[X, Y, Z]`` or ``[C, X, Y, Z]``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

WARP_MM = 4.0  # grid on which deformations are integrated
TAPS = (0.06, 0.24, 0.40, 0.24, 0.06)  # a Gaussian of 0.98 voxels


def sample(volume_CXYZ: torch.Tensor, points_3XYZ: torch.Tensor, outside: str = "border") -> torch.Tensor:
    """Trilinear samples ``[C, ...]`` of a volume at voxel coordinates; beyond its edge the edge, or ``zeros``."""
    size = torch.tensor([(n - 1) / 2 for n in volume_CXYZ.shape[1:]]).view(3, 1, 1, 1)
    grid = (points_3XYZ / size - 1).permute(1, 2, 3, 0).flip(-1)[None]
    return F.grid_sample(volume_CXYZ[None], grid, align_corners=True, padding_mode=outside)[0]


def mesh(shape: Sequence[int], matrix: np.ndarray) -> torch.Tensor:
    """Coordinates ``[3, X, Y, Z]`` of a grid's voxels under a 4x4 matrix."""
    m = torch.from_numpy(np.asarray(matrix, np.float32))
    axes = [torch.arange(n, dtype=torch.float32) for n in shape]
    rows = [
        (m[r, 0] * axes[0])[:, None, None] + (m[r, 1] * axes[1])[None, :, None]
        + (m[r, 2] * axes[2] + m[r, 3])[None, None, :]
        for r in range(3)
    ]  # fmt: skip
    return torch.stack(rows)


def smooth(volume: torch.Tensor, sigma_voxels: float) -> torch.Tensor:
    """Gaussian blur of ``[X, Y, Z]``."""
    from scipy import ndimage

    return torch.from_numpy(ndimage.gaussian_filter(volume.numpy(), sigma_voxels, truncate=2.5))


def noise(rng: np.random.Generator, shape: Sequence[int], voxel_mm: Sequence[float], sigma_mm: float) -> torch.Tensor:
    """Smooth Gaussian field of unit variance, made on a grid of its own, so the same at every voxel size."""
    step = sigma_mm / 1.6
    count = [max(4, int(np.ceil((n - 1) * v / step)) + 2) for n, v in zip(shape, voxel_mm, strict=True)]
    x = torch.from_numpy(rng.standard_normal(count, dtype=np.float32))[None, None]
    taps = torch.tensor(TAPS)
    for axis in range(3):
        size = [5 if a == axis else 1 for a in range(3)]
        x = F.conv3d(x, taps.view(1, 1, *size), padding=[s // 2 for s in size])
    x = F.interpolate(x, size=list(shape), mode="trilinear", align_corners=True)[0, 0]
    return (x - x.mean()) / x.std()


def deformation(
    rng: np.random.Generator, shape: Sequence[int], voxel_mm: float, amplitude_mm: float, sigma_mm: float
) -> torch.Tensor:
    """Smooth invertible displacement in mm, ``[3, X, Y, Z]``: a stationary velocity field by scaling and squaring.

    Source: Arsigny et al., A log-Euclidean framework for statistics on diffeomorphisms, MICCAI 2006.
    """
    count = [max(8, round(n * voxel_mm / WARP_MM)) for n in shape]
    spacing = [WARP_MM] * 3
    coarse = torch.stack([noise(rng, count, spacing, sigma_mm) for _ in range(3)])
    fine = torch.stack([noise(rng, count, spacing, sigma_mm * 0.4) for _ in range(3)])
    u = (coarse + 0.22 * fine) * amplitude_mm / 64
    points = mesh(count, np.eye(4))
    for _ in range(6):
        u = u + sample(u, points + u / WARP_MM)
    return F.interpolate(u[None], size=list(shape), mode="trilinear", align_corners=True)[0]


def step(x: torch.Tensor, width: float) -> torch.Tensor:
    """A soft step from 0 to 1 around zero."""
    return torch.sigmoid(x / width)
