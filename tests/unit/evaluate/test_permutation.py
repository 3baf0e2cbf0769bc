"""Guards the paired tests: equal to a naive exchange of predictions, right level, never a p of 0."""

import itertools

import numpy as np
import pytest
from scipy.stats import rankdata

from cairn.evaluate.metrics import auroc, pearson_r
from cairn.evaluate.permutation import paired_p_values
from cairn.evaluate.tables import RunCases


def run(label, prediction) -> RunCases:
    prediction = np.atleast_2d(prediction).astype(float)
    n = len(label)
    keys = tuple((f"{i:03d}", "1") for i in range(n))
    blank = np.full(prediction.shape, np.nan)
    return RunCases("test", tuple(range(len(prediction))), keys, np.asarray(label, float), prediction, blank, blank, ())


def naive(metric, label, a, b):
    """All exchanges, one by one, for every pair of seeds."""

    def value(x):
        return {"auroc": auroc, "pearson_r": pearson_r, "mae": lambda y, v: -np.abs(v - y).mean()}[metric](label, x)

    if metric == "auroc":
        a, b = rankdata(a, axis=1), rankdata(b, axis=1)
    if metric == "pearson_r":
        a, b = ((v - v.mean(1, keepdims=True)) / v.std(1, keepdims=True) for v in (a, b))
    found = []
    for signs in itertools.product((1, -1), repeat=len(label)):
        stay = np.array(signs) == 1
        sides = [value(np.where(stay, x, y)) - value(np.where(stay, y, x)) for x, y in itertools.product(a, b)]
        found.append(np.mean(sides))
    return float(np.mean(np.abs(found) >= abs(found[0]) - 1e-9))


@pytest.mark.parametrize("metric", ["auroc", "pearson_r", "mae"])
def test_exhaustive_p_equals_the_naive_exchange(metric):
    rng = np.random.default_rng(2)
    label = np.arange(8) % 2 if metric == "auroc" else rng.normal(60, 10, 8)
    a, b = label + rng.normal(0, 1, (2, 8)), label + rng.normal(0, 2, (3, 8))
    if metric == "auroc":
        a, b = np.round(a), np.round(b)  # ties
    p = paired_p_values(metric, [run(label, a), run(label, b)], [(0, 1)], 1000, ("k",), np.inf)
    assert p == [pytest.approx(naive(metric, label, a, b))]


def test_drawn_p_is_never_0_and_close_to_the_exact_one():
    rng = np.random.default_rng(3)
    label = rng.normal(60, 10, 12)
    runs = [run(label, label + rng.normal(0, 1, 12)), run(label, label + rng.normal(0, 9, 12))]
    (exact,) = paired_p_values("mae", runs, [(0, 1)], 2**12, ("k",), np.inf)
    (drawn,) = paired_p_values("mae", runs, [(0, 1)], 2**12 - 1, ("k",), np.inf)
    assert drawn == pytest.approx(exact, abs=0.01)
    far = [run(label, label), run(label, label + 50)]
    assert paired_p_values("mae", far, [(0, 1)], 99, ("k",), np.inf)[0] >= 1 / 100


def test_a_run_against_itself_has_p_1_and_an_undefined_metric_has_none():
    label = np.arange(20) % 2
    same = [run(label, np.linspace(0, 1, 20))] * 2
    assert paired_p_values("auroc", same, [(0, 1)], 200, ("k",), np.inf) == [1.0]
    ones = [run(np.ones(5), np.arange(5)), run(np.ones(5), np.arange(5))]
    assert paired_p_values("auroc", ones, [(0, 1)], 200, ("k",), np.inf) == [None]
    flat = [run(np.arange(5), np.zeros(5)), run(np.arange(5), np.arange(5))]
    assert paired_p_values("pearson_r", flat, [(0, 1)], 200, ("k",), np.inf) == [None]


def test_level_is_kept_when_two_runs_are_equally_good():
    rng = np.random.default_rng(4)
    label, p_values = np.arange(60) % 2, []
    for trial in range(150):
        runs = [run(label, rng.normal(label, 1.0)) for _ in range(2)]
        p_values += paired_p_values("auroc", runs, [(0, 1)], 199, (trial,), np.inf)
    assert 0.01 <= np.mean(np.array(p_values) <= 0.05) <= 0.10
