"""Augmentation of volumes ``[X, Y, Z]``: spatial changes for view and target, intensity changes for a view alone.

All randomness comes from the generator that is handed in. Background (exactly 0) stays 0 under intensity changes.
The list follows AMAES / FOMO25's baseline; magnitudes are configuration.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cairn.config.augment import IntensityConfig, SpatialConfig

Draw = np.random.Generator


def spatial(x_CXYZ: Tensor, config: SpatialConfig, draw: Draw, labels: int = 0) -> Tensor:
    """Flip left-right, rotate, scale: all channels alike. The last ``labels`` channels stay 0/1 (cut at one half)."""
    if draw.random() < config.flip:
        x_CXYZ = x_CXYZ.flip(1)
    if draw.random() < config.affine:
        matrix = _rotation(np.deg2rad(draw.uniform(-1, 1, 3) * config.rotation_deg)) * draw.uniform(
            1 - config.scale, 1 + config.scale
        )
        x_CXYZ = _affine(x_CXYZ, matrix)
        if labels:
            x_CXYZ[-labels:] = (x_CXYZ[-labels:] >= 0.5).to(x_CXYZ.dtype)
    return x_CXYZ


def _rotation(angles: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    matrix = np.eye(3)
    for (i, j), angle in zip(((0, 1), (0, 2), (1, 2)), angles, strict=True):
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = math.cos(angle)
        turn[i, j], turn[j, i] = -math.sin(angle), math.sin(angle)
        matrix = matrix @ turn
    return matrix


def _affine(x_CXYZ: Tensor, matrix: np.ndarray) -> Tensor:  # type: ignore[type-arg]
    """Sample at ``matrix @ (voxel - centre) + centre``, trilinear, 0 outside."""
    size = np.array(x_CXYZ.shape[1:], float)
    unit = (matrix * size[None, :] / size[:, None])[::-1, ::-1]  # to torch's units, axes last to first
    theta = torch.zeros(1, 3, 4, dtype=x_CXYZ.dtype)
    theta[0, :, :3] = torch.from_numpy(unit.copy()).to(x_CXYZ.dtype)
    grid = functional.affine_grid(theta, [1, *x_CXYZ.shape], align_corners=False)
    return functional.grid_sample(x_CXYZ[None], grid, align_corners=False)[0]


def intensity(x_XYZ: Tensor, config: IntensityConfig, draw: Draw) -> Tensor:
    """Change the intensities of one scan."""
    inside = x_XYZ != 0
    changes: list[tuple[float, Callable[[], Tensor]]] = [
        (config.gamma, lambda: _gamma(x_XYZ, math.exp(draw.uniform(math.log(0.6), math.log(1.6))))),
        (config.contrast, lambda: x_XYZ * draw.uniform(0.7, 1.3) + draw.uniform(-0.3, 0.3)),
        (config.bias, lambda: _bias(x_XYZ, config.bias_strength, draw)),
        (config.blur, lambda: _blur(x_XYZ, draw.uniform(0.3, 1.0) * config.blur_voxels)),
        (config.low_resolution, lambda: _thick(x_XYZ, int(draw.integers(3)), int(draw.integers(2, 4)))),
        (config.gibbs, lambda: _spectrum(x_XYZ, int(draw.integers(3)), keep=draw.uniform(0.4, 0.8))),
        (config.ghosting, lambda: _spectrum(x_XYZ, int(draw.integers(3)), ghost=draw.uniform(0.1, 0.4))),
        (config.noise, lambda: x_XYZ + _noise(x_XYZ, draw) * draw.uniform(0, config.noise_std)),
    ]
    for share, change in changes:
        if draw.random() < share:
            x_XYZ = change()
    return x_XYZ * inside


def _noise(x_XYZ: Tensor, draw: Draw) -> Tensor:
    return torch.from_numpy(draw.standard_normal(tuple(x_XYZ.shape), np.float32))


def _gamma(x_XYZ: Tensor, gamma: float) -> Tensor:
    """Gamma on the range of the intensities; the range stays."""
    low, span = x_XYZ.min(), (x_XYZ.max() - x_XYZ.min()).clamp_min(1e-6)
    return ((x_XYZ - low) / span) ** gamma * span + low


def _bias(x_XYZ: Tensor, strength: float, draw: Draw) -> Tensor:
    """Multiply by a smooth field around 1. Intensities are centred, so they are counted from the darkest."""
    nodes = torch.from_numpy(draw.standard_normal((1, 1, 3, 3, 3), np.float32)) * strength
    field = functional.interpolate(nodes, size=tuple(x_XYZ.shape), mode="trilinear", align_corners=True)[0, 0].exp()
    low = x_XYZ.min()
    return (x_XYZ - low) * field + low


def _blur(x_XYZ: Tensor, sigma: float) -> Tensor:
    """Gaussian blur, axis by axis; as products with banded matrices, which a CPU does ten times faster than filters."""
    for axis in range(3):
        place = torch.arange(x_XYZ.shape[axis], dtype=x_XYZ.dtype)
        band = torch.exp(-0.5 * ((place[:, None] - place[None, :]) / sigma) ** 2)
        x_XYZ = torch.tensordot(x_XYZ, band / band.sum(dim=1, keepdim=True), dims=([axis], [1])).movedim(-1, axis)
    return x_XYZ


def _thick(x_XYZ: Tensor, axis: int, factor: int) -> Tensor:
    """Slices ``factor`` voxels thick along ``axis``, interpolated back."""
    size = list(x_XYZ.shape)
    coarse = [n if i != axis else max(1, n // factor) for i, n in enumerate(size)]
    low = functional.interpolate(x_XYZ[None, None], size=coarse, mode="area")
    return functional.interpolate(low, size=size, mode="trilinear", align_corners=False)[0, 0]


def _spectrum(x_XYZ: Tensor, axis: int, keep: float = 1.0, ghost: float = 0.0) -> Tensor:
    """Cut high frequencies along ``axis`` (Gibbs ringing), or dampen every other line (a ghost half a field away)."""
    lines = torch.fft.fft(x_XYZ, dim=axis)
    count = x_XYZ.shape[axis]
    gain = (torch.fft.fftfreq(count).abs() <= 0.5 * keep).to(x_XYZ.dtype)
    gain[1::2] *= 1 - ghost
    gain[0] = 1
    shape = [1, 1, 1]
    shape[axis] = count
    return torch.fft.ifft(lines * gain.view(shape), dim=axis).real
