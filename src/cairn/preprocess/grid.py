"""The session's common grid, and the one interpolation that takes a scan there."""

from __future__ import annotations

from typing import Literal

import numpy as np

from cairn.config.preprocess import GridConfig
from cairn.preprocess.native import Array, Mask, Volume

FWHM = 2.3548  # of a Gaussian with unit standard deviation


def make_grid(config: GridConfig, centre: Array) -> tuple[tuple[int, int, int], Array]:
    """Shape and affine of the grid around ``centre`` (grid world mm): every side a multiple of ``config.multiple``."""
    step = config.spacing_mm * config.multiple
    x, y, z = (int(np.ceil(length / step - 1e-9)) * config.multiple for length in config.box_mm)
    affine = np.diag([config.spacing_mm] * 3 + [1.0])
    affine[:3, 3] = centre - (np.array([x, y, z]) - 1) / 2 * config.spacing_mm
    return (x, y, z), affine


def to_grid(
    data: Volume, affine: Array, grid_affine: Array, grid_to_native: Array, box: tuple[slice, ...], order: Literal[1, 3]
) -> tuple[Volume, Mask]:
    """Sample a scan on a box of the grid: Gaussian prefilter along axes finer than the grid, then one interpolation.

    The prefilter's width makes up the difference between the voxel and the grid's spacing (in quadrature), so that
    detail which the grid cannot hold does not come back as noise.

    Args:
        data: the scan in RAS order.
        affine: its 4x4.
        grid_affine: 4x4 of the grid.
        grid_to_native: 4x4 from grid world mm to the scan's world mm.
        box: the part of the grid that is wanted.
        order: 1 or 3.

    Returns:
        The values on the box, and where the scan's field of view covers it.
    """
    from scipy import ndimage

    shape = tuple(s.stop - s.start for s in box)
    step = np.linalg.inv(affine) @ grid_to_native @ grid_affine
    step[:3, 3] += step[:3, :3] @ [s.start for s in box]
    covered = _covered(step, shape, data.shape)
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    spacing = float(np.linalg.norm(grid_affine[:3, 0]))
    sigma = np.sqrt(np.maximum(spacing**2 - zooms**2, 0)) / FWHM / zooms
    window = _reach(step, shape, data.shape, sigma)
    part = data[window]
    for axis, width in enumerate(sigma):
        if width > 0.05:
            part = ndimage.gaussian_filter1d(part, width, axis, mode="nearest", truncate=3)
    offset = step[:3, 3] - [s.start for s in window]
    out = ndimage.affine_transform(part, step[:3, :3], offset, shape, order=order, mode="nearest")
    return np.where(covered, out, np.float32(0)), covered


def _covered(step: Array, shape: tuple[int, ...], size: tuple[int, ...]) -> Mask:
    """Which voxels of the box lie within the scan's voxels: all where its corners do."""
    places = _corners(step, shape)
    if (places.min(1) >= -0.5).all() and (places.max(1) <= np.array(size) - 0.5).all():
        return np.ones(shape, bool)
    i, j, k = np.ogrid[tuple(slice(0, n) for n in shape)]
    inside = np.ones(shape, bool)
    for axis, length in enumerate(size):
        a, b, c, d = step[axis].astype(np.float32)
        position = a * i + b * j + c * k + d
        inside &= (position >= -0.5) & (position <= length - 0.5)
    return inside


def _reach(step: Array, shape: tuple[int, ...], size: tuple[int, ...], sigma: Array) -> tuple[slice, ...]:
    """The scan's voxels that the box can see, filter and spline included; never empty."""
    places = _corners(step, shape)
    pad = np.ceil(3 * sigma).astype(int) + 8
    low = np.clip(np.floor(places.min(1)).astype(int) - pad, 0, np.array(size) - 1)
    high = np.clip(np.ceil(places.max(1)).astype(int) + 1 + pad, low + 1, size)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def _corners(step: Array, shape: tuple[int, ...]) -> Array:
    """Where ``step`` takes the eight corners of a box of ``shape``, ``[3, 8]``."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape])).reshape(3, -1)
    return np.asarray(step[:3, :3] @ corners + step[:3, 3:])
