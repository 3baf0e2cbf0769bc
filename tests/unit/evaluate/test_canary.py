"""Guards the canary: silent on an honest pipeline however strong its signal, loud when test labels get in."""

import numpy as np
import pytest

from cairn.evaluate import canary
from cairn.evaluate.canary import canary_interval, canary_scores


def cases(seed, positives, negatives, effect):
    """Features with ``effect`` in a third of them, and labels."""
    draw = np.random.default_rng(seed)
    labels = np.array([1.0] * positives + [0.0] * negatives)
    features = draw.normal(size=(len(labels), 60)) + 0.8 * draw.normal(size=(len(labels), 1))
    features[:, :20] += effect * labels[:, None]
    return features, labels


def ask(effect=1.5, pairs=8, seed=1):
    train, labels = cases(1, 13, 8, effect)
    test, truth = cases(2, 12, 12, effect)
    return canary_scores(train, labels, test, truth, seed, pairs)


@pytest.mark.parametrize("effect", [0.0, 1.5])
def test_an_honest_pipeline_passes_with_and_without_signal(effect):
    low, high = canary_interval(ask(effect))
    assert low <= 0.5 <= high
    assert high - low < 0.1


def test_single_permutations_spread_which_is_why_they_come_in_pairs():
    found = ask(effect=1.5, pairs=8)
    assert np.ptp(found[:, 0]) > 0.3
    assert np.abs(found.mean(axis=1) - 0.5).max() < 0.01


def test_test_labels_among_the_training_labels_are_caught(monkeypatch):
    honest = canary.fit_fixed
    test, truth = cases(2, 12, 12, 0.0)

    def peeking(kind, features, targets, penalty):
        return honest(kind, np.vstack([features, test]), np.append(targets, truth), penalty)

    monkeypatch.setattr(canary, "fit_fixed", peeking)
    low, _ = canary_interval(ask(effect=0.0))
    assert low > 0.5


def test_features_chosen_by_test_labels_are_caught(monkeypatch):
    honest = canary.fit_fixed
    test, truth = cases(2, 12, 12, 0.0)
    gap = test[truth == 1].mean(0) - test[truth == 0].mean(0)

    def choosing(*arguments):
        arrays = honest(*arguments)
        return arrays | {"coefficient": np.where(arrays["coefficient"] * gap > 0, arrays["coefficient"], 0)}

    monkeypatch.setattr(canary, "fit_fixed", choosing)
    low, _ = canary_interval(ask(effect=0.0))
    assert low > 0.5


def test_a_direction_chosen_after_the_fact_is_caught(monkeypatch):
    honest = canary.auroc
    monkeypatch.setattr(canary, "auroc", lambda y, p: max(honest(y, p), honest(y, -p)))
    low, _ = canary_interval(ask(pairs=20))
    assert low > 0.5


def test_a_feature_tied_to_the_true_training_labels_is_beyond_it():
    """Said in the documentation: permuting the labels unties it, so the canary is silent and others must look."""
    train, labels = cases(1, 13, 8, 0.0)
    test, truth = cases(2, 12, 12, 0.0)
    train[:, 0], test[:, 0] = 9 * labels, 9 * truth
    low, high = canary_interval(canary_scores(train, labels, test, truth, 1, 8))
    assert low <= 0.5 <= high


def test_the_seed_decides():
    assert (ask(seed=3, pairs=2) == ask(seed=3, pairs=2)).all()
    assert (ask(seed=3, pairs=2) != ask(seed=4, pairs=2)).any()
