"""Guards the grid: its sizes, that the one interpolation moves nothing, and that what is finer than it is filtered."""

import numpy as np
import pytest

from cairn.config.preprocess import GridConfig
from cairn.io.boxes import box_of
from cairn.preprocess.grid import make_grid, to_grid


@pytest.mark.parametrize(
    ("spacing", "shape"),
    [(1.0, (160, 192, 160)), (2.0, (80, 96, 80)), (2.5, (64, 80, 64)), (3.0, (64, 64, 64))],
)
def test_default_box_holds_an_adult_brain_in_multiples_of_16(spacing, shape):
    centre = np.array([1.0, -18.0, 9.0])
    made, affine = make_grid(GridConfig(spacing_mm=spacing), centre)
    assert made == shape
    np.testing.assert_allclose(affine[:3, :3] @ ((np.array(made) - 1) / 2) + affine[:3, 3], centre)


def _turned() -> np.ndarray:
    angle = np.deg2rad(12)
    out = np.eye(4)
    out[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    out[:3, 3] = (3, -2, 1)
    return out


@pytest.mark.parametrize("order", [1, 3])
def test_a_ramp_keeps_its_world_values_through_prefilter_and_interpolation(order):
    native = np.diag([1.0, 1.2, 4.0, 1.0])
    native[:3, 3] = (-45, -50, -50)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in (90, 84, 25)], indexing="ij"), -1)
    ramp = ((index @ native[:3, :3].T + native[:3, 3]) @ [1.0, 0.5, -0.25]).astype(np.float32)
    shape, grid = make_grid(GridConfig(spacing_mm=3, box_mm=(48, 48, 48)), np.zeros(3))
    box = (slice(2, 14), slice(3, 12), slice(4, 12))
    out, covered = to_grid(ramp, native, grid, _turned(), box, order)
    assert covered.all()
    for where in np.ndindex(out.shape):
        world = _turned() @ grid @ [*(np.array(where) + [s.start for s in box]), 1]
        assert out[where] == pytest.approx(world[:3] @ [1.0, 0.5, -0.25], abs=0.02)
    assert shape == (16, 16, 16)


def test_detail_finer_than_the_grid_does_not_come_back_as_noise():
    noise = np.random.default_rng(0).normal(size=(64, 64, 64)).astype(np.float32)
    _, coarse = make_grid(GridConfig(spacing_mm=4, box_mm=(40, 40, 40), multiple=1), np.full(3, 31.5))
    box = tuple(slice(0, 10) for _ in range(3))
    out, _ = to_grid(noise, np.eye(4), coarse, np.eye(4), box, 1)
    assert out.std() < 0.15  # sampled without a filter it would be about 0.5
    _, same = make_grid(GridConfig(spacing_mm=1, box_mm=(10, 10, 10), multiple=1), np.full(3, 30.5))
    kept, _ = to_grid(noise, np.eye(4), same, np.eye(4), box, 1)
    np.testing.assert_array_equal(kept, noise[26:36, 26:36, 26:36])  # nothing is filtered at equal spacing


def test_outside_the_field_of_view_is_uncovered_and_zero():
    data = np.ones((20, 20, 6), np.float32)
    native = np.diag([1.0, 1.0, 2.0, 1.0])
    _, grid = make_grid(GridConfig(spacing_mm=1, box_mm=(20, 20, 30), multiple=1), np.array([9.5, 9.5, 5.0]))
    out, covered = to_grid(data, native, grid, np.eye(4), tuple(slice(0, n) for n in (20, 20, 30)), 1)
    assert covered.sum() == 20 * 20 * 12
    assert np.array_equal(out > 0, covered)
    np.testing.assert_allclose(out[covered], 1)


def test_box_of_pads_inside_the_array():
    mask = np.zeros((10, 10, 10), bool)
    mask[0, 4:6, 9] = True
    assert box_of(mask, 2) == (slice(0, 3), slice(2, 8), slice(7, 10))
