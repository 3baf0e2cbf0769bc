"""Guards the metrics of several classes: scikit-learn's on random and degenerate cases, resampled as one by one."""

import itertools
import warnings

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.metrics import f1_score, roc_auc_score

from cairn.evaluate.classes import read_scores, worst_scores
from cairn.evaluate.metrics import auroc_ovr, f1_macro
from cairn.evaluate.metrics.multiclass import auroc_ovr_resampled, f1_macro_resampled
from cairn.evaluate.permutation import paired_p_values
from cairn.evaluate.tables import RunCases


def drawn(rng, n=40, k=4):
    scores = np.round(rng.dirichlet(np.ones(k), n), 2)  # ties
    scores[:, -1] = 1 - scores[:, :-1].sum(1)
    return rng.integers(0, k, n), scores.T


def test_both_are_scikit_learns():
    rng = np.random.default_rng(0)
    for _ in range(40):
        labels, scores = drawn(rng)
        expected = np.mean([roc_auc_score(labels == k, s) for k, s in enumerate(scores)])
        assert auroc_ovr(labels, scores) == pytest.approx(expected)
        said = scores.argmax(0)
        assert f1_macro(labels, said, 4) == pytest.approx(f1_score(labels, said, average="macro"))


def test_absent_classes_are_skipped_and_one_class_is_undefined():
    rng = np.random.default_rng(1)
    labels, scores = drawn(rng, k=4)
    labels[labels == 2] = 0
    expected = np.mean([roc_auc_score(labels == k, scores[k]) for k in (0, 1, 3)])
    assert auroc_ovr(labels, scores) == pytest.approx(expected)
    assert auroc_ovr(np.ones(5, int), scores[:, :5]) is None
    assert auroc_ovr(np.array([], int), scores[:, :0]) is None
    said = np.where(np.arange(40) < 5, 2, labels)  # a class that only the prediction names counts, as 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert f1_macro(labels, said, 5) == pytest.approx(f1_score(labels, said, average="macro"))
    assert f1_macro(np.array([1, 1]), np.array([1, 1]), 3) == 1.0
    assert f1_macro(np.array([], int), np.array([], int), 3) is None


def test_resampled_values_are_those_of_the_resampled_cases():
    rng = np.random.default_rng(2)
    labels, scores = drawn(rng, n=12, k=3)
    counts = np.stack([np.bincount(rng.integers(0, 12, 12), minlength=12) for _ in range(30)])
    areas = auroc_ovr_resampled(labels, scores, counts)
    means = f1_macro_resampled(labels, scores.argmax(0), counts, 3)
    for row, area, mean in zip(counts, areas, means, strict=True):
        again = np.repeat(np.arange(12), row)
        one = auroc_ovr(labels[again], scores[:, again])
        assert (np.isnan(area) and one is None) or area == pytest.approx(one)
        assert mean == pytest.approx(f1_macro(labels[again], scores[:, again].argmax(0), 3))


def test_a_missing_embedding_is_worst_for_every_class():
    labels = np.array([0, 0, 1, 1, 2, 2])
    worst = np.array([worst_scores(k, "abc") for k in labels]).T
    assert auroc_ovr(labels, worst) == 0.0
    assert f1_macro(labels, worst.argmax(0), 3) == 0.0


@pytest.mark.parametrize(
    ("text", "status"),
    [("0.2 0.3 0.5", "ok"), ("0.2 0.8", "wrong-length"), ("a b c", "not-a-number"), ("nan 0.5 0.5", "not-finite"),
     ("0.9 0.9 0.9", "out-of-range"), ("-0.5 1 0.5", "out-of-range"), ("n/a", "not-a-number")],
)  # fmt: skip
def test_what_is_wrong_with_probabilities_is_named(text, status):
    assert read_scores(text, "abc")[0] == status


def run(labels, scores_SKN):
    n = len(labels)
    blank = np.full((len(scores_SKN), n), np.nan)
    parts = {f"p_{k}": np.stack([s[k] for s in scores_SKN]) for k in range(len(scores_SKN[0]))}
    said = np.stack([s.argmax(0) for s in scores_SKN]).astype(float)
    keys = tuple((f"{i:03d}", "1") for i in range(n))
    return RunCases("test", tuple(range(len(said))), keys, labels.astype(float), said, blank, blank, (), parts)


@pytest.mark.parametrize("metric", ["auroc_ovr", "f1_macro"])
def test_p_equals_the_naive_exchange(metric):
    rng = np.random.default_rng(5)
    labels = np.array([0, 0, 1, 1, 1, 2, 2, 2])
    a, b = [[drawn(rng, 8, 3)[1] for _ in range(seeds)] for seeds in (2, 1)]

    def value(scores):
        return auroc_ovr(labels, scores) if metric == "auroc_ovr" else f1_macro(labels, scores.argmax(0), 3)

    found = []
    for signs in itertools.product((True, False), repeat=8):
        stay = np.array(signs)
        sides = []
        for x, y in itertools.product(a, b):
            if metric == "auroc_ovr":  # an area knows ranks alone
                x, y = (rankdata(s, axis=1) for s in (x, y))
            sides.append(value(np.where(stay, x, y)) - value(np.where(stay, y, x)))
        found.append(np.mean(sides))
    expected = np.mean(np.abs(found) >= abs(found[0]) - 1e-9)
    p = paired_p_values(metric, [run(labels, a), run(labels, b)], [(0, 1)], 1000, ("k",), np.inf)
    assert p == [pytest.approx(expected)]
