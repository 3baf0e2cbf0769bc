"""Guards region alignment: exact where features are linear in place, the same place in both crops, as grid_sample."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from cairn.ssl.latents_align import common_region, roi_align

STRIDE, SIZE = 4, (24, 20, 16)


def place_map(origin):
    """Features that are the place (in voxels of the scan) of each feature voxel's centre, ``[1, 3, x, y, z]``."""
    axes = [(torch.arange(n // STRIDE).double() + 0.5) * STRIDE + o for n, o in zip(SIZE, origin, strict=True)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]


def test_a_linear_map_is_read_exactly():
    low, high = torch.tensor([[3.0, 2.0, 5.0]]).double(), torch.tensor([[20.0, 18.0, 14.0]]).double()
    out = roi_align(place_map((0, 0, 0)), low, high, STRIDE, 5)[0]
    for axis in range(3):
        bins = low[0, axis] + (high - low)[0, axis] * (torch.arange(5).double() + 0.5) / 5
        expected = bins.view([5 if a == axis else 1 for a in range(3)]).expand(5, 5, 5)
        assert (out[axis] - expected).abs().max() < 1e-9


@pytest.mark.parametrize("shift", [(0, 0, 0), (7, -5, 3), (-12, 9, -6), (18, 15, 11)])
def test_both_crops_regions_show_the_same_place(shift):
    moved = torch.tensor([shift])
    low, high = common_region(moved, SIZE, STRIDE)
    first = roi_align(place_map((50, 60, 70)), low, high, STRIDE, 7)
    origin = [o + s for o, s in zip((50, 60, 70), shift, strict=True)]
    second = roi_align(place_map(origin), low - moved, high - moved, STRIDE, 7)
    assert (first - second).abs().max() < 1e-9
    for axis in range(3):
        inside = first[0, axis] - (50, 60, 70)[axis]
        assert inside.min() >= max(0, shift[axis]) + STRIDE / 2
        assert inside.max() <= min(SIZE[axis], SIZE[axis] + shift[axis]) - STRIDE / 2
        assert (first[0, axis].diff(dim=axis) > 0).all()


def test_it_is_grid_sample():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 6, 5, 4).double()
    low = torch.tensor([[0.0, 1.0, 2.0], [4.0, 0.0, 6.0]]).double()
    high = torch.tensor([[24.0, 11.0, 9.0], [9.0, 20.0, 16.0]]).double()
    bins = (torch.arange(7).double() + 0.5) / 7
    for n in range(2):
        unit = [2 * (low[n, a] + (high - low)[n, a] * bins) / SIZE[a] - 1 for a in range(3)]
        grid = torch.stack(torch.meshgrid(*unit, indexing="ij")[::-1], dim=-1)[None]
        expected = functional.grid_sample(x[n : n + 1], grid, padding_mode="border", align_corners=False)
        found = roi_align(x, low, high, STRIDE, 7)[n : n + 1]
        np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-12)
