"""Guards the intervals: they cover what they claim, also on 20 cases; they say something where resamples are silent."""

import numpy as np
import pytest
from populations import BEYOND, SIZES, WORLDS, coverage
from scipy.special import stdtrit
from scipy.stats import binomtest

from cairn.evaluate.intervals import percentile_interval, resampled_interval, score_interval
from cairn.evaluate.tables import RunCases

ERROR = 0.005  # standard error of a share near 95 % in 2,000 simulations
BY_NAME = {w.name: w for w in WORLDS}


def cases(label, prediction, subjects=None):
    values = np.asarray(prediction, float)[None]
    names = subjects or [f"{i:03d}" for i in range(len(label))]
    keys = tuple((s, f"{i}") for i, s in enumerate(names))
    return RunCases("test", (0,), keys, np.asarray(label, float), values, values, values, ())


@pytest.mark.parametrize("name", ["AUROC 0.7", "AUROC 0.9", "Dice 0.12, 70% missed", "MAE 7.1 years, laplace", "Pearson r 0.6", "R² 0.8"])  # noqa: E501  # fmt: skip
def test_on_20_cases_intervals_cover_and_plain_percentiles_do_not(name):
    corrected, plain = coverage(BY_NAME[name], 20, 600, 500)
    assert 0.92 <= corrected <= 0.98
    assert plain < corrected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world", "n"),
    [(w, n) for w in WORLDS for n in SIZES if w.metric != "concordance" or n <= 107],
    ids=lambda v: getattr(v, "name", v),
)  # pairs of 800 cases take an hour
def test_intervals_cover_the_truth_in_93_to_97_percent(world, n):
    found, _ = coverage(world, n, 2000, 1000)
    assert 0.93 - ERROR <= found <= 0.97 + ERROR


@pytest.mark.slow
@pytest.mark.parametrize("world", BEYOND, ids=lambda w: w.name)
def test_rare_misses_and_the_heaviest_tails_fall_short_on_20_cases_and_not_on_800(world):
    assert coverage(world, 20, 2000, 1000)[0] < 0.93
    assert coverage(world, 800, 2000, 1000)[0] >= 0.93 - ERROR


def test_undefined_resamples_are_left_out():
    assert percentile_interval(np.array([np.nan, 1.0, 1.0]), 0.95) == (1.0, 1.0)
    assert percentile_interval(np.array([np.nan]), 0.95) == (None, None)
    assert resampled_interval("mae", np.array([np.nan, 2.0, 2.0]), 9, 0.95) == (2.0, 2.0)
    assert resampled_interval("auroc", np.array([np.nan]), 9, 0.95) == (None, None)


def test_intervals_are_wider_on_few_subjects_and_plain_percentiles_on_many():
    values = np.random.default_rng(0).normal(size=20_000)
    few, many = (resampled_interval("auroc", values, n, 0.95) for n in (20, 100_000))
    assert np.allclose(many, percentile_interval(values, 0.95), atol=1e-3)
    assert few == pytest.approx((-2.147, 2.147), abs=0.06)  # √(20/19) t(0.975; 19)
    one = resampled_interval("auroc", values, 1, 0.95)
    assert one == pytest.approx((values.min(), values.max()))


def test_means_lean_to_the_longer_tail_and_mirror_with_their_sign():
    values = np.random.default_rng(0).gamma(4.0, size=20_000)
    leaning, upright = (resampled_interval(m, values, 107, 0.95) for m in ("mae", "auroc"))
    assert leaning[0] > upright[0]
    assert leaning[1] > upright[1]
    mirrored = resampled_interval("mae", -values, 107, 0.95)
    assert mirrored == pytest.approx((-leaning[1], -leaning[0]))


def test_a_score_at_its_bound_is_no_certainty():
    every_missed = cases(np.full(20, np.nan), np.zeros(20))
    assert score_interval("dice", 0.0, np.zeros(99), every_missed, 0.95) == (0.0, pytest.approx(1 - 0.025 ** (1 / 20)))
    parted = cases([0] * 7 + [1] * 13, range(20))
    low, high = score_interval("auroc", 1.0, np.ones(99), parted, 0.95)
    assert (low, high) == (pytest.approx(0.025 ** (1 / 7)), 1.0)
    twice = cases([0, 0, 1, 1], range(4), ["a", "a", "b", "b"])  # one subject a class
    assert score_interval("auroc", 1.0, np.ones(99), twice, 0.95)[0] == pytest.approx(0.025)
    assert score_interval("mae", 0.0, np.zeros(99), every_missed, 0.95) == (0.0, 0.0)
    assert score_interval("dice", 0.0, np.zeros(0), every_missed, 0.95) == (None, None)


def test_intervals_on_a_scale_are_the_formulas_and_stay_within_the_metrics_range():
    values = np.random.default_rng(0).normal(0.3, 0.1, 10_000)
    reach, spread = np.sqrt(20 / 19) * stdtrit(19, 0.975), values.std()
    some = cases(np.full(20, np.nan), np.zeros(20))
    half = reach * spread / (0.3 * 0.7)
    expected = [1 / (1 + np.exp(-(np.log(0.3 / 0.7) + side * half))) for side in (-1, 1)]
    assert score_interval("nsd", 0.3, values, some, 0.95) == pytest.approx(expected)
    low, high = score_interval("dice", 0.98, np.random.default_rng(0).normal(0.98, 0.02, 999), some, 0.95)
    assert 0.85 < low < 0.98 < high < 1
    half = reach * np.log(1 - values).std()
    expected = [1 - 0.7 * np.exp(half), 1 - 0.7 * np.exp(-half)]
    assert score_interval("r2", 0.3, values, some, 0.95) == pytest.approx(expected)
    assert score_interval("r2", 1.0, np.ones(99), some, 0.95) == (1.0, 1.0)


def test_an_errors_kurtosis_takes_degrees_of_freedom_and_none_lies_above_the_cap():
    flat = cases(np.zeros(20), [4.0, 6.0] * 10)  # kurtosis 1: no less than n - 1
    values = np.random.default_rng(0).normal(5, 0.5, 10_000)
    half = np.sqrt(20 / 19) * stdtrit(19, 0.975) * values.std() / 5
    assert score_interval("mae", 5.0, values, flat, 0.95, 100.0) == pytest.approx((5 * np.exp(-half), 5 * np.exp(half)))
    outlier = [*[4.0, 6.0] * 9, 4.0, 400.0]
    errors = np.minimum(outlier, 100.0)
    kurtosis = ((errors - errors.mean()) ** 4).mean() / errors.var() ** 2
    half = np.sqrt(20 / 19) * stdtrit(40 / (kurtosis - 17 / 19), 0.975) * values.std() / 5
    found = score_interval("mae", 5.0, values, cases(np.zeros(20), outlier), 0.95, 100.0)
    assert found == pytest.approx((5 * np.exp(-half), 5 * np.exp(half)))
    wide = np.random.default_rng(0).normal(60, 20, 999)
    assert score_interval("mae", 60.0, wide, cases(np.zeros(20), outlier), 0.95, 100.0)[1] == 100.0


def test_an_accuracy_has_wilsons_interval():
    right = np.array([1.0] * 18 + [0.0] * 2)
    drawn = right[np.random.default_rng(0).integers(0, 20, (100_000, 20))].mean(axis=1)
    found = score_interval("accuracy", 0.9, drawn, cases(right, right), 0.95)
    assert found == pytest.approx(binomtest(18, 20).proportion_ci(0.95, "wilson"), abs=2e-3)
    assert score_interval("accuracy", 1.0, np.ones(99), cases(right, right), 0.95)[0] == pytest.approx(0.025**0.05)
