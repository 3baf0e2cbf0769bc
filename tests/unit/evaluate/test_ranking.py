"""Guards the ranking rule: FOMO25's published table, shared places, missing tasks, and what must not matter."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cairn.config.evaluate import DEFAULT_METRICS, Metric
from cairn.evaluate.ranking import first_share, holm, metric_ranks, places, printed, task_ranks, tiers
from cairn.io.tables import read_table

AUROC = DEFAULT_METRICS["classification"][0]
MAE = DEFAULT_METRICS["regression"][0]
KINDS = {"rank_t1": "classification", "rank_t2": "segmentation", "rank_t3": "regression"}


def rank_all(rows: list[dict[str, str]]) -> dict[str, np.ndarray]:
    everyone = np.ones(len(rows), bool)
    return {
        column: task_ranks(
            {m.name: np.array([[float(r[m.name]) for r in rows]]) for m in DEFAULT_METRICS[kind]},
            DEFAULT_METRICS[kind],
            everyone,
        )[0]
        for column, kind in KINDS.items()
    }


@pytest.fixture
def fomo25() -> list[dict[str, str]]:
    return read_table(Path(__file__).parent / "golden_fomo25.tsv")


def test_fomo25_method_track_is_reproduced_cell_by_cell(fomo25):
    ranks = rank_all(fomo25)
    overall = np.mean(list(ranks.values()), axis=0)
    for i, row in enumerate(fomo25):
        for column in KINDS:
            assert ranks[column][i] == float(row[column]), (row["team"], column)
        assert f"{overall[i]:.1f}" == row["overall"], row["team"]
    assert places(list(overall)) == [int(r["place"]) for r in fomo25]


def test_order_and_names_of_runs_do_not_matter(fomo25):
    forward = np.mean(list(rank_all(fomo25).values()), axis=0)
    backward = np.mean(list(rank_all(fomo25[::-1]).values()), axis=0)
    assert forward.tolist() == backward[::-1].tolist()


def test_a_copy_of_a_run_shares_its_rank_and_pushes_back_only_the_worse(fomo25):
    ranks = rank_all([*fomo25, fomo25[4]])["rank_t1"]
    before = rank_all(fomo25)["rank_t1"]
    assert ranks[4] == ranks[-1] == before[4]
    assert (ranks[:-1] - before).tolist() == [float(before[i] > before[4]) for i in range(11)]


def test_equal_on_the_printed_precision_shares_the_smaller_rank():
    ranks = metric_ranks(np.array([[0.70049, 0.7004, 0.9, 0.1]]), AUROC)
    assert ranks.tolist() == [[2, 2, 1, 4]]


def test_lower_is_better_where_the_metric_says_so_and_undefined_is_last():
    assert metric_ranks(np.array([[12.0, np.nan, 9.5, 100.0]]), MAE).tolist() == [[2, 4, 1, 3]]


def test_a_metric_undefined_for_all_separates_nobody():
    assert metric_ranks(np.full((1, 3), np.nan), AUROC).tolist() == [[1, 1, 1]]


def test_a_missing_task_ranks_one_behind_the_entries():
    ranks = task_ranks({"auroc": np.array([[0.5, np.nan, 0.7]])}, [AUROC], np.array([True, False, True]))
    assert ranks.tolist() == [[2, 3, 1]]
    nobody = task_ranks({"auroc": np.full((1, 2), np.nan)}, [AUROC], np.array([False, False]))
    assert nobody.tolist() == [[1, 1]]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=9), st.randoms())
def test_ranks_follow_the_runs_under_any_order(values, random):
    metric = Metric(name="dice", title="Dice")
    order = list(range(len(values)))
    random.shuffle(order)
    array = np.array([values], float)
    assert metric_ranks(array[:, order], metric).tolist() == metric_ranks(array, metric)[:, order].tolist()


def test_a_tier_opens_where_its_first_is_told_from_a_run():
    def apart(*pairs):
        return [[(i, j) in pairs for j in range(4)] for i in range(4)]

    assert tiers([1, 2, 3, 4], apart()) == [1, 1, 1, 1]
    assert tiers([1, 2, 3, 4], apart((0, 2), (0, 3))) == [1, 1, 2, 2]
    assert tiers([1, 2, 3, 4], apart((0, 1), (1, 3))) == [1, 2, 2, 3]
    assert tiers([1, 2, 3, 4], apart((1, 2), (2, 3))) == [1, 1, 1, 1]  # told from the run before, not from the first
    assert tiers([4, 3, 2, 1], apart((3, 2), (3, 1), (3, 0))) == [2, 2, 2, 1]  # by places, however they are listed
    assert tiers([1, 2, 2, 4], apart((0, 1))) == [1, 1, 1, 1]  # who shares a place shares a tier
    assert tiers([1, 2, 2, 4], apart((0, 1), (0, 2))) == [1, 2, 2, 2]
    assert tiers([], []) == []


def test_first_share_splits_ties():
    assert first_share(np.array([[1.0, 1.0, 2.0], [1.0, 2.0, 3.0]])) == [0.75, 0.25, 0.0]


def test_holm_against_a_hand_computed_case():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_values_are_rounded_as_they_print():
    values = np.array([[0.7005, 0.0625, 0.0005, 12.3455, -0.0004, 1.0, np.nan]])
    said = [f"{v:.3f}" for v in values[0]]
    assert [f"{v:.3f}" for v in printed(values, 3)[0]] == said
    assert metric_ranks(np.array([[0.7005, 0.701, 0.7004]]), AUROC).tolist() == [[1, 1, 3]]
