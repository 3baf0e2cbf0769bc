"""Guards where crops lie: in the brain, in the grid, and two of them with the configured share in common."""

import numpy as np
import pytest
from placed import HIGH, LOW, PLAIN, SHAPE, STILL, placed_session, places

from cairn.config.contrastive import PairConfig
from cairn.ssl.crops import brain_spans, overlapping_origins, two_crops, two_sequences
from cairn.ssl.draws import generator


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    return placed_session(tmp_path_factory.mktemp("placed"))


def test_a_crop_lies_in_the_brain_or_holds_it_and_stays_in_the_grid(session):
    assert brain_spans(session, (4, 4, 4)) == [(2, 6), (1, 6), (3, 7)]
    assert brain_spans(session, (8, 9, 8)) == [(2, 2), (1, 1), (3, 3)]
    assert brain_spans(session, (10, 11, 10)) == [(0, 2), (0, 0), (1, 2)]
    assert brain_spans(session, (16, 11, 13)) == [(-2, -2), (0, 0), (-1, -1)]


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.75, 0.9, 1.0])
def test_two_crops_share_what_is_configured_and_no_more_than_that_is_forced(session, overlap):
    size, shifts = (4, 4, 4), []
    for number in range(300):
        pair = overlapping_origins(session, size, overlap, generator(0, "o", number))
        for origin in pair:
            assert all(s.first <= o <= s.last for s, o in zip(brain_spans(session, size), origin, strict=True))
        shifts.append(np.abs(np.subtract(*pair)))
    reach = min(round((1 - overlap) * 4 - 0.49), 4)
    assert np.max(shifts, axis=0).tolist() == [min(reach, 4)] * 3
    assert np.min(shifts, axis=0).tolist() == [0, 0, 0]


def test_what_two_crops_have_in_common_is_the_same_place(session):
    config = PairConfig(kind="pair", patch_voxels=(4, 4, 4), overlap=0.5, spatial=STILL, intensity=PLAIN)
    for number in range(20):
        crops, changes = two_crops(session, ["T1w", "T2w"], config, generator(0, "c", number))
        first, second = (places(change.apply(crop)) for crop, change in zip(crops, changes, strict=True))
        shift = np.abs(first[0] - second[0])
        assert len(set(map(tuple, first)) & set(map(tuple, second))) == np.prod(4 - shift) >= 8
        for found in (first, second):
            assert (found >= LOW).all()
            assert (found < HIGH).all()


def test_sequences_of_a_pair_differ_where_they_can(session, tmp_path):
    drawn = {tuple(two_sequences(session, generator(0, "s", i))) for i in range(30)}
    assert drawn == {("T1w", "T2w"), ("T2w", "T1w")}
    assert two_sequences(placed_session(tmp_path, ["FLAIR"]), generator(0, "s")) == ["FLAIR", "FLAIR"]


def test_an_empty_mask_means_the_whole_grid(session, monkeypatch):
    monkeypatch.setattr(session.shard, "mask", lambda key: np.zeros(SHAPE, bool))
    monkeypatch.setattr(session.shard, "_boxes", {})
    assert brain_spans(session, (4, 4, 4)) == [(0, 8), (0, 7), (0, 8)]
