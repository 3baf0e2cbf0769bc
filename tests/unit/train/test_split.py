"""Guards the shares of a pretraining set: by subject, nested, and all of it by default."""

from itertools import pairwise

import pytest

from cairn.train.split import subset

SUBJECTS = [f"{i // 2:02d}" for i in range(40)]  # two sessions each


def chosen(share, seed=3, places=range(40)):
    return subset(list(places), SUBJECTS, share, seed)


def test_all_of_it_is_as_given():
    assert chosen(1.0) == list(range(40))


@pytest.mark.parametrize(("share", "subjects"), [(0.5, 10), (0.25, 5), (0.01, 1)])
def test_a_share_counts_subjects_and_keeps_them_whole(share, subjects):
    found = chosen(share)
    assert len(found) == 2 * subjects
    assert len({SUBJECTS[i] for i in found}) == subjects


def test_a_smaller_share_is_part_of_a_larger_one():
    shares = [set(chosen(s)) for s in (0.1, 0.3, 0.6, 1.0)]
    assert all(a < b for a, b in pairwise(shares))


def test_the_seed_and_nothing_else_decides_who():
    assert chosen(0.3) == chosen(0.3)
    assert chosen(0.3, seed=4) != chosen(0.3)
    assert set(chosen(0.3, places=reversed(range(40)))) == set(chosen(0.3))
