"""Guards the way between grid and scan: a blob goes there and comes back, and lands where the matrices say."""

import numpy as np
import pytest

from cairn.io.geometry import mask_to_grid, probability_to_native
from cairn.io.shard import SequenceGeometry, SessionGeometry


def geometry():
    angle = np.deg2rad(12)
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = rotation, (3.0, -2.0, 1.0)
    native = np.diag([-1.5, 1.5, 4.0, 1.0])
    native[:3, 3] = (40.0, -38.0, -30.0)
    grid = np.diag([2.0, 2.0, 2.0, 1.0])
    grid[:3, 3] = -32.0
    return SessionGeometry((32, 32, 32), grid, {"FLAIR": SequenceGeometry((54, 52, 16), native, motion)})


def centre_mm(mask, affine):
    return (affine @ np.append(np.argwhere(mask).mean(0), 1))[:3]


def test_native_blob_lands_where_the_matrices_say():
    g = geometry()
    mask = np.zeros((54, 52, 16), bool)
    mask[20:30, 22:30, 6:10] = True
    scan = g.sequences["FLAIR"]
    expected = np.linalg.inv(scan.grid_to_native) @ np.append(centre_mm(mask, scan.native_affine), 1)
    carried = mask_to_grid(mask, g, "FLAIR")
    np.testing.assert_allclose(centre_mm(carried, g.affine), expected[:3], atol=0.7)
    back = probability_to_native(carried.astype(np.float32), g, "FLAIR") >= 0.5
    overlap = 2 * (back & mask).sum() / (back.sum() + mask.sum())
    assert back.shape == mask.shape
    assert overlap > 0.8


def test_a_mask_on_another_grid_is_refused():
    with pytest.raises(ValueError, match="shape"):
        mask_to_grid(np.zeros((5, 5, 5), bool), geometry(), "FLAIR")
