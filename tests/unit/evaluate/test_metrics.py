"""Guards the metrics: agreement with libraries, the degenerate cases, and that missing a lesion never pays."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cairn.evaluate.metrics import auroc, dice, mae, nsd, pearson_r
from cairn.evaluate.metrics.discrimination import auroc_resampled
from cairn.evaluate.metrics.regression import pearson_resampled

MASKS = hnp.arrays(bool, (4, 5, 3))
SPACINGS = [(1.0, 1.0, 1.0), (0.5, 0.9, 5.0), (3.0, 0.4, 1.2)]


def blobs(rng, shape=(18, 16, 9)):
    """Two overlapping random blobs, one sometimes touching the border of the grid."""
    grid = np.indices(shape).reshape(3, -1).T
    masks = []
    for _ in range(2):
        centre, radii = rng.uniform(3, 8, 3), rng.uniform(1.5, 6, 3)
        masks.append(((((grid - centre) / radii) ** 2).sum(1) < 1).reshape(shape) & (rng.random(shape) > 0.05))
    return masks


def test_overlap_and_surface_agree_with_monai():
    torch = pytest.importorskip("torch")
    monai = pytest.importorskip("monai.metrics")
    torch.set_num_threads(1)
    rng = np.random.default_rng(1)
    for trial in range(60):
        a, b = blobs(rng)
        spacing, tolerance = SPACINGS[trial % 3], float(rng.choice([0.0, 0.5, 1.0, 2.5]))
        tensors = [torch.tensor(m)[None, None].float() for m in (a, b)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            surface = monai.compute_surface_dice(
                *tensors, [tolerance + 1e-5], include_background=True, spacing=spacing, use_subvoxels=True
            )
            overlap = monai.compute_dice(*tensors)
        assert nsd(a, b, spacing, tolerance) == pytest.approx(float(surface), abs=1e-5)
        assert dice(a, b) == pytest.approx(float(overlap), abs=1e-6)


def test_facet_areas_of_all_256_corner_patterns_agree_with_monai():
    utils = pytest.importorskip("monai.metrics.utils")
    from cairn.evaluate.metrics.surface import _facet_table

    for spacing in SPACINGS:
        x, y, z = spacing
        mine = np.linalg.norm(_facet_table() * np.array([y * z, x * z, x * y]), axis=-1).sum(-1)
        np.testing.assert_allclose(mine, utils.create_table_neighbour_code_to_surface_area(spacing)[0], rtol=1e-6)


def test_one_and_both_empty_follow_the_table():
    empty, full = np.zeros((4, 4, 4), bool), np.ones((4, 4, 4), bool)
    assert dice(empty, empty) == 1.0
    assert dice(empty, full) == dice(full, empty) == 0.0
    assert nsd(empty, empty, (1, 1, 1)) == 1.0
    assert nsd(empty, empty, (1, 1, 1), both_empty=0.0) == 0.0
    assert nsd(empty, full, (1, 1, 1)) == nsd(full, empty, (1, 1, 1)) == 0.0


def test_surface_reaches_exactly_as_far_as_the_tolerance_in_mm():
    a = np.zeros((4, 30, 30), bool)
    a[1:3, 10:20, 10:20] = True
    b = np.roll(a, 2, axis=1)
    assert nsd(a, b, (5.0, 0.5, 0.5), tolerance_mm=1.0) == 1.0
    assert nsd(a, b, (5.0, 0.6, 0.5), tolerance_mm=1.0) < 1.0
    assert nsd(a, np.roll(a, 1, axis=0), (5.0, 0.5, 0.5), tolerance_mm=1.0) < 1.0


def test_a_lesion_at_the_border_of_the_grid_has_a_closed_surface():
    cut = np.zeros((6, 6, 6), bool)
    cut[:3] = True
    padded = np.pad(cut, 2)
    other = np.zeros_like(cut)
    other[:2] = True
    assert nsd(cut, other, (1, 1, 1), 0.5) == pytest.approx(nsd(padded, np.pad(other, 2), (1, 1, 1), 0.5))


@settings(max_examples=60, deadline=None)
@given(MASKS, MASKS, st.sampled_from(SPACINGS), st.floats(0, 4))
def test_surface_score_is_symmetric_bounded_monotone_and_one_only_for_close_surfaces(a, b, spacing, tolerance):
    value = nsd(a, b, spacing, tolerance)
    assert 0.0 <= value <= 1.0
    assert value == pytest.approx(nsd(b, a, spacing, tolerance))
    assert nsd(a, b, spacing, tolerance + 1.0) >= value
    assert nsd(a, a, spacing, 0.0) == dice(a, a) == 1.0
    flipped = nsd(a[::-1, :, ::-1], b[::-1, :, ::-1], spacing, tolerance)
    assert flipped == pytest.approx(value)


@settings(max_examples=60, deadline=None)
@given(MASKS, MASKS)
def test_missing_the_lesion_never_beats_any_other_answer(truth, answer):
    truth[0, 0, 0] = True
    nothing = np.zeros_like(truth)
    assert dice(nothing, truth) <= dice(answer, truth)
    assert nsd(nothing, truth, (1, 1, 3)) <= nsd(answer, truth, (1, 1, 3))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4)), min_size=2, max_size=30))
def test_auroc_agrees_with_sklearn_ties_and_all(pairs):
    from sklearn.metrics import roc_auc_score

    labels, scores = np.array(pairs).T
    value = auroc(labels, scores / 4)
    if len(set(labels)) == 1:
        assert value is None
    else:
        assert value == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_auroc_of_resamples_equals_the_naive_loop():
    rng = np.random.default_rng(3)
    labels, scores = rng.integers(0, 2, 40), rng.integers(0, 9, 40) / 8
    drawn = rng.integers(0, 40, (200, 40))
    counts = np.stack([np.bincount(row, minlength=40) for row in drawn])
    naive = [auroc(labels[row], scores[row]) for row in drawn]
    assert auroc_resampled(labels, scores, counts).tolist() == naive
    one_class = np.where(labels == 1, 1, 0)[None]
    assert np.isnan(auroc_resampled(labels, scores, one_class)).all()
    assert auroc(np.array([]), np.array([])) is None


def test_regression_metrics_agree_with_scipy_and_sklearn():
    from scipy.stats import pearsonr
    from sklearn.metrics import mean_absolute_error

    rng = np.random.default_rng(4)
    for n in (2, 3, 50):
        y, x = rng.normal(60, 12, n), rng.normal(55, 9, n)
        assert mae(y, x) == pytest.approx(mean_absolute_error(y, x))
        assert pearson_r(y, x) == pytest.approx(pearsonr(y, x)[0], abs=1e-10)
    assert mae(np.array([20.0]), np.array([500.0]), cap=100.0) == 100.0
    assert mae(np.array([]), np.array([])) is None


def test_correlation_is_undefined_not_zero_where_a_side_is_constant():
    flat = np.full(5, 61.3)
    assert pearson_r(flat, np.arange(5.0)) is None
    assert pearson_r(np.arange(5.0), flat) is None
    assert pearson_r(np.array([1.0]), np.array([1.0])) is None


def test_correlation_of_resamples_equals_the_naive_loop_and_knows_flat_resamples():
    from scipy.stats import pearsonr

    rng = np.random.default_rng(5)
    y, x = rng.normal(size=12), rng.normal(size=12)
    drawn = rng.integers(0, 12, (100, 12))
    counts = np.stack([np.bincount(row, minlength=12) for row in drawn])
    np.testing.assert_allclose(pearson_resampled(y, x, counts), [pearsonr(y[r], x[r])[0] for r in drawn], atol=1e-10)
    assert np.isnan(pearson_resampled(y, x, np.eye(12, dtype=int) * 12)).all()


def test_masks_of_two_shapes_are_refused():
    a, b = np.ones((2, 2, 2)), np.ones((2, 2, 3))
    with pytest.raises(ValueError, match="shapes"):
        dice(a, b)
    with pytest.raises(ValueError, match="shapes"):
        nsd(a, b, (1, 1, 1))
