"""Augmentation of volumes ``[X, Y, Z]``: spatial changes for view and target, intensity changes for a view alone.

What is random is drawn first, and applied then: `draw_spatial` and `draw_intensity` give changes whose parameters are
fixed, on the host; `apply_spatial` and `apply_intensity` make them on whatever device the volume lies. `spatial` and
`intensity` do both at once. All randomness comes from the generator that is handed in. Background (exactly 0) stays 0
under intensity changes. The list follows AMAES / FOMO25's baseline; magnitudes are configuration.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cairn.config.augment import IntensityConfig, SpatialConfig

Draw = np.random.Generator
Changes: TypeAlias = tuple[partial[Tensor], ...]
"""Changes of a volume, to be made in turn; nothing about them is random any more."""


def spatial(x_CXYZ: Tensor, config: SpatialConfig, draw: Draw, labels: int = 0) -> Tensor:
    """Flip left-right, rotate, scale: all channels alike. The last ``labels`` channels stay 0/1 (cut at one half)."""
    return apply_spatial(x_CXYZ, draw_spatial(config, draw, labels))


def draw_spatial(config: SpatialConfig, draw: Draw, labels: int = 0) -> Changes:
    """The changes of one `spatial`."""
    changes = []
    if draw.random() < config.flip:
        changes.append(partial(torch.flip, dims=(1,)))
    if draw.random() < config.affine:
        matrix = _rotation(np.deg2rad(draw.uniform(-1, 1, 3) * config.rotation_deg)) * draw.uniform(
            1 - config.scale, 1 + config.scale
        )
        changes.append(partial(_affine, matrix=matrix, labels=labels))
    return tuple(changes)


def apply_spatial(x_CXYZ: Tensor, changes: Changes) -> Tensor:
    """``x`` after ``changes``, on its device."""
    for change in changes:
        x_CXYZ = change(x_CXYZ)
    return x_CXYZ


def intensity(x_XYZ: Tensor, config: IntensityConfig, draw: Draw) -> Tensor:
    """Change the intensities of one scan."""
    return apply_intensity(x_XYZ, draw_intensity(config, x_XYZ.shape, draw))


def draw_intensity(config: IntensityConfig, shape: Sequence[int], draw: Draw, seeded: bool = False) -> Changes:
    """The changes of one `intensity` of a volume of ``shape``.

    Args:
        config: how often and how strongly.
        shape: of the volume.
        draw: where all parameters come from.
        seeded: noise is a seed, from which the volume's device makes the field, and not the field itself; what is
            drawn after the first noise then differs.
    """
    uniform = draw.uniform
    changes: list[tuple[float, Callable[[], partial[Tensor]]]] = [
        (config.gamma, lambda: partial(_gamma, gamma=math.exp(uniform(math.log(0.6), math.log(1.6))))),
        (config.contrast, lambda: partial(_contrast, scale=uniform(0.7, 1.3), shift=uniform(-0.3, 0.3))),
        (config.bias, lambda: partial(_bias, nodes=_normal((1, 1, 3, 3, 3), draw) * config.bias_strength)),
        (config.blur, lambda: partial(_blur, sigma=uniform(0.3, 1.0) * config.blur_voxels)),
        (config.low_resolution, lambda: partial(_thick, axis=_axis(draw), factor=int(draw.integers(2, 4)))),
        (config.gibbs, lambda: partial(_spectrum, axis=_axis(draw), keep=uniform(0.4, 0.8))),
        (config.ghosting, lambda: partial(_spectrum, axis=_axis(draw), ghost=uniform(0.1, 0.4))),
        (config.noise, lambda: _drawn_noise(shape, draw, seeded, config.noise_std)),
    ]
    return tuple(change() for share, change in changes if draw.random() < share)


def apply_intensity(x_XYZ: Tensor, changes: Changes) -> Tensor:
    """``x`` after ``changes``, on its device; where it was 0 it stays 0."""
    inside = x_XYZ != 0
    for change in changes:
        x_XYZ = change(x_XYZ)
    return x_XYZ * inside


def _axis(draw: Draw) -> int:
    return int(draw.integers(3))


def _normal(shape: Sequence[int], draw: Draw) -> Tensor:
    return torch.from_numpy(draw.standard_normal(tuple(shape), np.float32))


def _drawn_noise(shape: Sequence[int], draw: Draw, seeded: bool, most: float) -> partial[Tensor]:
    """Noise with a standard deviation up to ``most``: the field that is drawn here, or its seed."""
    if seeded:
        return partial(_seeded_noise, seed=int(draw.integers(2**63)), std=draw.uniform(0, most))
    return partial(_noise, field_XYZ=_normal(shape, draw), std=draw.uniform(0, most))


def _noise(x_XYZ: Tensor, field_XYZ: Tensor, std: float) -> Tensor:
    return x_XYZ + field_XYZ.to(x_XYZ.device) * std


def _seeded_noise(x_XYZ: Tensor, seed: int, std: float) -> Tensor:
    """Noise of torch's generator of the volume's own device: each kind of device has its own field of a seed."""
    generator = torch.Generator(x_XYZ.device).manual_seed(seed)
    return x_XYZ + torch.randn(x_XYZ.shape, generator=generator, device=x_XYZ.device, dtype=x_XYZ.dtype) * std


def _contrast(x_XYZ: Tensor, scale: float, shift: float) -> Tensor:
    return x_XYZ * scale + shift


def _rotation(angles: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    matrix = np.eye(3)
    for (i, j), angle in zip(((0, 1), (0, 2), (1, 2)), angles, strict=True):
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = math.cos(angle)
        turn[i, j], turn[j, i] = -math.sin(angle), math.sin(angle)
        matrix = matrix @ turn
    return matrix


def _affine(x_CXYZ: Tensor, matrix: np.ndarray, labels: int = 0) -> Tensor:  # type: ignore[type-arg]
    """Sample at ``matrix @ (voxel - centre) + centre``, trilinear, 0 outside; ``labels`` last channels cut to 0/1."""
    size = np.array(x_CXYZ.shape[1:], float)
    unit = (matrix * size[None, :] / size[:, None])[::-1, ::-1]  # to torch's units, axes last to first
    theta = torch.zeros(1, 3, 4, dtype=x_CXYZ.dtype)
    theta[0, :, :3] = torch.from_numpy(unit.copy()).to(x_CXYZ.dtype)
    grid = functional.affine_grid(theta.to(x_CXYZ.device), [1, *x_CXYZ.shape], align_corners=False)
    x_CXYZ = functional.grid_sample(x_CXYZ[None], grid, align_corners=False)[0]
    if labels:
        x_CXYZ[-labels:] = (x_CXYZ[-labels:] >= 0.5).to(x_CXYZ.dtype)
    return x_CXYZ


def _gamma(x_XYZ: Tensor, gamma: float) -> Tensor:
    """Gamma on the range of the intensities; the range stays."""
    low, span = x_XYZ.min(), (x_XYZ.max() - x_XYZ.min()).clamp_min(1e-6)
    return ((x_XYZ - low) / span) ** gamma * span + low


def _bias(x_XYZ: Tensor, nodes: Tensor) -> Tensor:
    """Multiply by a smooth field around 1, the exponential of what lies between ``nodes`` ``[1, 1, 3, 3, 3]``.

    Intensities are centred, so they are counted from the darkest.
    """
    size = tuple(x_XYZ.shape)
    field = functional.interpolate(nodes.to(x_XYZ), size=size, mode="trilinear", align_corners=True)[0, 0].exp()
    low = x_XYZ.min()
    return (x_XYZ - low) * field + low


def _blur(x_XYZ: Tensor, sigma: float) -> Tensor:
    """Gaussian blur, axis by axis; as products with banded matrices, which a CPU does ten times faster than filters."""
    for axis in range(3):
        place = torch.arange(x_XYZ.shape[axis], dtype=x_XYZ.dtype, device=x_XYZ.device)
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
    gain = (torch.fft.fftfreq(count, device=x_XYZ.device).abs() <= 0.5 * keep).to(x_XYZ.dtype)
    gain[1::2] *= 1 - ghost
    gain[0] = 1
    shape = [1, 1, 1]
    shape[axis] = count
    return torch.fft.ifft(lines * gain.view(shape), dim=axis).real
