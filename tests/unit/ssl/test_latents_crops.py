"""Guards where crops come from: the brain, inside the grid, overlapping as asked, showing the place they claim."""

import numpy as np
import pytest
import torch
from latents import places

from cairn.config.augment import SpatialConfig
from cairn.ssl.augment import spatial
from cairn.ssl.draws import generator
from cairn.ssl.latents_crops import ANCHORS, box_of_two, brain, crop_origin, inner_origin, partner_origin, two_of

STILL = SpatialConfig(flip=0, affine=0)
SHAPE = (40, 36, 30)


def corner_brain():
    mask = np.zeros(SHAPE, bool)
    mask[4:24, 6:20, 2:28] = True
    return mask


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    return places(tmp_path_factory.mktemp("crops"), SHAPE, corner_brain())


def test_the_brain_is_known_by_its_box_and_some_of_its_voxels(session):
    place = brain(session)
    assert session.brain_box() == ((4, 6, 2), (24, 20, 28))
    assert len(place.anchors) == ANCHORS
    assert corner_brain()[tuple(place.anchors.T)].all()
    assert np.ptp(place.anchors, axis=0).tolist() >= [17, 10, 20]  # spread over the box
    assert brain(session) is place  # the mask is read once


def test_crops_stay_in_the_brains_box_or_hold_it(session):
    small = np.array([crop_origin(session, (8, 8, 8), generator(0, "c", i)) for i in range(200)])
    assert small.min(axis=0).tolist() == [4, 6, 2]
    assert small.max(axis=0).tolist() == [16, 12, 20]
    large = np.array([crop_origin(session, (30, 32, 40), generator(0, "c", i)) for i in range(200)])
    assert (large[:, :2] >= 0).all()
    assert (large[:, :2] <= [4, 4]).all()  # from 0, to hold the box; inside the grid
    assert (large[:, 2] == -5).all()  # longer than the grid: centred
    assert len(np.unique(large[:, 0])) > 1


def test_crops_centre_on_brain_not_on_the_corners_of_its_box(tmp_path):
    shape = (40, 40, 40)
    ball = ((np.indices(shape) - 19.5) ** 2).sum(0) <= 18**2
    session = places(tmp_path, shape, ball)
    shares = []
    for i in range(100):
        o = crop_origin(session, (8, 8, 8), generator(0, "c", i))
        shares.append(ball[tuple(slice(n, n + 8) for n in o)].mean())
    assert min(shares) > 0.1  # a crop at a corner of the box would hold none
    assert np.mean(shares) > 0.8


def test_an_empty_mask_means_the_whole_grid(tmp_path):
    empty = places(tmp_path, (16, 16, 16), np.zeros((16, 16, 16), bool))
    found = np.array([crop_origin(empty, (8, 8, 8), generator(0, "c", i)) for i in range(200)])
    assert found.min() == 0
    assert found.max() == 8


@pytest.mark.parametrize("overlap", [0.3, 0.75])
def test_partners_overlap_as_asked_and_go_both_ways(session, overlap):
    size, shifts = (8, 6, 6), []
    for i in range(300):
        first = crop_origin(session, size, generator(0, "a", i))
        second = partner_origin(session, first, size, overlap, generator(0, "b", i))
        assert (second >= 0).all()
        assert (second + size <= SHAPE).all()
        shifts.append(second - first)
    common = np.array(size) - np.abs(shifts)
    least = np.ceil(overlap * np.array(size))
    assert (common.min(axis=0) == least).all()
    assert (np.min(shifts, axis=0) == -np.max(shifts, axis=0)).all()


def test_small_crops_lie_in_the_large_one_and_in_the_brain(session):
    outer = np.array([10, 10, 10])
    inside = [inner_origin(session, outer, (16, 16, 16), (6, 6, 6), generator(0, "i", i)) for i in range(200)]
    assert (np.min(inside, axis=0) >= outer).all()
    assert (np.max(inside, axis=0) <= outer + 10).all()
    assert np.max(inside, axis=0)[1] <= 18  # the brain ends at 20: a crop is centred on it
    nothing = np.array([30, 26, 0])
    anywhere = inner_origin(session, nothing, (8, 8, 8), (4, 4, 4), generator(0, "i"))
    assert ((anywhere >= nothing) & (anywhere <= nothing + 4)).all()


def overlapping_crops(session, name, size, overlap, changes, draw):
    box, origins = box_of_two(session, name, size, overlap, draw)
    return two_of(spatial(box[None], changes, draw)[0], origins, size), torch.from_numpy(origins[1] - origins[0])


def common_parts(crops, shift):
    n = crops.shape[1:]
    first = tuple(slice(max(0, s), min(k, k + s)) for s, k in zip(shift.tolist(), n, strict=True))
    second = tuple(slice(max(0, -s), min(k, k - s)) for s, k in zip(shift.tolist(), n, strict=True))
    return crops[0][first], crops[1][second]


def test_both_crops_show_the_place_that_the_shift_says(session):
    for i in range(10):
        for axis, name in enumerate("XYZ"):
            crops, shift = overlapping_crops(session, name, (12, 10, 8), 0.5, STILL, generator(0, "o", i))
            assert crops.shape == (2, 12, 10, 8)
            line = crops.movedim(axis + 1, -1)[:, 0, 0]
            assert (line.diff(dim=1) == 1).all()  # it is the scan, unchanged
            assert (line[1] - line[0] == shift[axis]).all()


def test_flipped_and_turned_the_common_part_is_still_the_same(session):
    changes = SpatialConfig(flip=1.0, affine=1.0, rotation_deg=30)
    for i in range(5):
        crops, shift = overlapping_crops(session, "X", (12, 10, 8), 0.5, changes, generator(0, "o", i))
        one, two = common_parts(crops, shift)
        assert one.numel() >= 6 * 5 * 4
        assert torch.equal(one, two)
        assert one.unique().numel() > 10
    flipped, _ = overlapping_crops(session, "X", (8, 8, 8), 0.5, SpatialConfig(flip=1, affine=0), generator(0, "o", 1))
    assert (flipped.diff(dim=1) == -1).all()
