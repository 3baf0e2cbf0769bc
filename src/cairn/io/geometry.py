"""Carrying masks and volumes between a session's grid and a scan's native grid, through 4x4 matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.io.shard import SessionGeometry

Array = npt.NDArray[Any]


def resample(volume: Array, voxel_to_voxel: Array, shape: tuple[int, ...], order: int = 1) -> npt.NDArray[np.float32]:
    """Sample ``volume`` at the voxels of an output grid; outside is 0.

    Args:
        volume: ``[X, Y, Z]``.
        voxel_to_voxel: 4x4 from output voxel to input voxel coordinates.
        shape: output shape.
        order: 0 nearest, 1 trilinear, 3 cubic.
    """
    from scipy import ndimage

    out = ndimage.affine_transform(
        np.asarray(volume, np.float32), voxel_to_voxel[:3, :3], voxel_to_voxel[:3, 3], output_shape=shape, order=order
    )
    return np.asarray(out, np.float32)


def grid_to_native_voxels(geometry: SessionGeometry, sequence: str) -> Array:
    """4x4 from voxel coordinates of the session's grid to voxel coordinates of the scan."""
    scan = geometry.sequences[sequence]
    return np.linalg.inv(scan.native_affine) @ scan.grid_to_native @ geometry.affine


def mask_to_grid(mask: Array, geometry: SessionGeometry, sequence: str) -> npt.NDArray[np.bool_]:
    """Carry a native mask (on the scan's grid) to the session's grid: trilinear, cut at one half."""
    scan = geometry.sequences[sequence]
    if mask.shape != scan.native_shape:
        raise ValueError(f"mask of shape {mask.shape}, but the {sequence} scan has {scan.native_shape}")
    carried = resample(mask.astype(np.float32), grid_to_native_voxels(geometry, sequence), geometry.shape)
    return np.asarray(carried >= 0.5)


def probability_to_native(probability: Array, geometry: SessionGeometry, sequence: str) -> npt.NDArray[np.float32]:
    """Carry a probability map on the session's grid to the scan's native grid, trilinear; threshold after."""
    native = np.linalg.inv(grid_to_native_voxels(geometry, sequence))
    return resample(probability, native, geometry.sequences[sequence].native_shape)


def labels_to_grid(
    labels: Array, geometry: SessionGeometry, sequence: str, classes: int
) -> npt.NDArray[np.uint8]:  # fmt: skip
    """Carry a native mask of labels 0 to ``classes`` to the session's grid: each trilinear, then the largest share."""
    scan = geometry.sequences[sequence]
    if labels.shape != scan.native_shape:
        raise ValueError(f"mask of shape {labels.shape}, but the {sequence} scan has {scan.native_shape}")
    way = grid_to_native_voxels(geometry, sequence)
    y, z = np.indices(geometry.shape[1:])
    out = np.zeros(geometry.shape, np.uint8)
    for x in range(geometry.shape[0]):  # a plane at a time, for memory
        at = np.einsum("ij,jYZ->iYZ", way[:3], np.stack([np.full(y.shape, x), y, z, np.ones(y.shape)]))
        inside = np.all([(c >= 0) & (c <= n - 1) for c, n in zip(at, labels.shape, strict=True)], axis=0)
        out[x][inside] = _trilinear_label(labels, at[:, inside], classes)
    return out


def _trilinear_label(labels: Array, at_3N: Array, classes: int) -> npt.NDArray[np.uint8]:
    """The label with the largest trilinear share at each point; where all eight neighbours agree, theirs."""
    low = np.minimum(np.floor(at_3N).astype(int), np.array(labels.shape)[:, None] - 2)
    high_share = at_3N - low
    corners = np.array(list(np.ndindex(2, 2, 2)))
    found_8N = np.stack([labels[tuple(low + corner[:, None])] for corner in corners])
    out: npt.NDArray[np.uint8] = found_8N[0].astype(np.uint8)
    mixed = (found_8N != found_8N[0]).any(axis=0)
    found_8M, high_3M = found_8N[:, mixed], high_share[:, mixed]
    weights_8M = np.stack([np.where(c[:, None] == 1, high_3M, 1 - high_3M).prod(axis=0) for c in corners])
    shares = np.stack([(weights_8M * (found_8M == k)).sum(axis=0) for k in range(1, classes + 1)]).astype(np.float32)
    out[mixed] = _largest(1 - shares.sum(axis=0), shares)
    return out


def labels_to_native(
    probability_CXYZ: Array, geometry: SessionGeometry, sequence: str
) -> npt.NDArray[np.uint8]:  # fmt: skip
    """Carry probabilities on the session's grid to the scan's native grid, each trilinear, then the most probable.

    Args:
        probability_CXYZ: of background and every label; outside the grid is background.
        geometry: the session's.
        sequence: the scan.
    """
    inside, *shares = (probability_to_native(p, geometry, sequence) for p in _without_background(probability_CXYZ))
    return _largest(1 - inside, np.stack(shares))


def _without_background(probability_CXYZ: Array) -> Array:
    """One minus the background in its place: 0 is then right for what lies outside the grid."""
    return np.concatenate([1 - probability_CXYZ[:1], probability_CXYZ[1:]])


def _largest(background: Array, shares_K: Array) -> npt.NDArray[np.uint8]:
    """Label of the largest share; equal ones go to the lower label, background last.

    So a share of exactly one half is inside, as for a single class.
    """
    best = shares_K.argmax(axis=0)
    return np.where(shares_K.max(axis=0) >= background, best + 1, 0).astype(np.uint8)
