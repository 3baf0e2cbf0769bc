"""Guards the box around a mask: its lowest voxel, and the one past its highest."""

import numpy as np
import pytest

from cairn.io.boxes import bounding_box


@pytest.mark.parametrize("voxels", [[(1, 2, 3)], [(0, 5, 1), (4, 2, 1)], [(0, 0, 0), (5, 6, 7)]])
def test_the_box_holds_all_and_nothing_around(voxels):
    mask = np.zeros((6, 7, 8), bool)
    mask[tuple(np.transpose(voxels))] = True
    low, high = bounding_box(mask)
    assert low == tuple(np.min(voxels, axis=0))
    assert high == tuple(np.max(voxels, axis=0) + 1)
