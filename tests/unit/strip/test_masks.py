"""Guards mask operations against SciPy and by shape, and the refinement of a carried mask."""

import numpy as np
import pytest
from phantom_head import brain, dice, grid, points_of, scan
from scipy import ndimage

from cairn.strip.morphology import ball, fill_holes, largest_component
from cairn.strip.refine import refine, stripped_already


def test_fill_holes_agrees_with_scipy_also_at_the_border():
    rng = np.random.default_rng(0)
    for share in (0.3, 0.6, 0.75):
        mask = rng.random((20, 22, 24)) < share
        assert np.array_equal(fill_holes(mask), ndimage.binary_fill_holes(mask))


def test_largest_component_of_several_and_of_none():
    mask = np.zeros((10, 10, 10), bool)
    mask[0:3, 0:3, 0:3] = True
    mask[6:10, 6:10, 6:10] = True
    assert largest_component(mask).sum() == 64
    assert not largest_component(mask & False).any()


def test_ball_is_measured_in_millimetres():
    assert ball(4.0, np.array([1.0, 2.0, 5.0])).shape == (9, 5, 1)
    assert ball(2.0, np.array([1.0, 1.0, 1.0])).sum() == 33


@pytest.mark.parametrize("shift", [(6.0, 0, 0), (0, -6.0, 3.0)])
def test_refining_a_shifted_mask_brings_it_nearer_to_the_brain(shift):
    shape, affine = grid("T1w")
    points = points_of(shape, affine)
    truth = brain(points)
    carried = brain(points - np.array(shift))
    better = refine(scan("T1w", shape, affine).astype(np.float32), carried, np.array([2.0, 2.0, 2.0]))
    assert dice(better, truth) > dice(carried, truth) + 0.005


def test_only_a_brain_alone_on_a_constant_background_counts_as_stripped():
    shape, affine = grid("T1w")
    inside = brain(points_of(shape, affine))
    head = scan("T1w", shape, affine).astype(np.float32)
    assert stripped_already(head, 8e-3) is None
    alone = np.where(inside, head + 1, 0)
    outline = stripped_already(alone, 8e-3)
    assert outline is not None
    assert dice(outline, inside) > 0.999
    assert stripped_already(alone, 30e-3) is None  # five litres: a head whose air is 0
