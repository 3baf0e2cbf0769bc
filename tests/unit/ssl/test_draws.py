"""Guards randomness by counter: a draw depends on its counters alone; purposes, steps and samples are independent."""

import numpy as np
import pytest

from cairn.ssl.draws import generator, shuffled


def test_same_counters_same_numbers_whatever_came_before():
    first = generator(7, "view", 3, 1).random(5)
    generator(7, "view", 3, 0).random(1000)
    assert (generator(7, "view", 3, 1).random(5) == first).all()


def test_streams_do_not_overlap_or_correlate():
    keys = [(s, p, a, b) for s in (0, 1) for p in ("x", "y") for a in range(4) for b in range(4)]
    draws = np.array([generator(s, p, a, b).standard_normal(2000) for s, p, a, b in keys])
    correlations = np.corrcoef(draws)[~np.eye(len(keys), dtype=bool)]
    assert np.abs(correlations).max() < 0.12
    assert len(np.unique(draws)) == draws.size


def test_values_are_pinned():
    """A change of numpy or of the keys would break every resume: it must not pass unseen."""
    assert generator(2026, "view", 5, 2).integers(0, 1000, 4).tolist() == [401, 982, 199, 968]


def test_every_epoch_meets_every_element_in_an_order_of_its_own():
    order = [shuffled(1, "o", 5, p) for p in range(15)]
    epochs = [order[i : i + 5] for i in (0, 5, 10)]
    assert all(sorted(e) == [0, 1, 2, 3, 4] for e in epochs)
    assert len({tuple(e) for e in epochs}) == 3
    assert [shuffled(1, "o", 5, p) for p in (7, 3)] == [order[7], order[3]]


def test_bad_counters_are_refused():
    with pytest.raises(ValueError, match="counters"):
        generator(0, "x", 1, 2, 3, 4)
