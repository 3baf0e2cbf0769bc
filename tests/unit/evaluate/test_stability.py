"""Guards the stability of ranks: places, tau and other ways to rank agree with plain references and with the board."""

import numpy as np
import pytest
import world
from scipy.stats import kendalltau

from cairn.evaluate.board import read_board
from cairn.evaluate.leaderboard import build, rank_arrays
from cairn.evaluate.stability import METHODS, kendall_tau, shared, stability


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    return read_board(world.board_job(), *world.evaluated(root, n=12, seeds=2))


def found(boards, **changes):
    job = world.board_job(**changes)
    runs = [r.run for r in job.runs if r.ranked]
    ranks = {"method": rank_arrays(runs, boards, job.evaluate)}
    return stability(job, boards, ranks), build(job, boards, ranks)


def test_tau_equals_scipy_with_ties_and_where_it_is_undefined():
    ranks = np.random.default_rng(0).integers(1, 4, (60, 5)).astype(float)
    full = np.array([1.0, 2.0, 2.0, 4.0, 5.0])
    expected = [kendalltau(row, full).statistic for row in ranks]
    assert kendall_tau(ranks, full) == pytest.approx(expected, nan_ok=True)
    assert np.isnan(kendall_tau(np.ones((1, 5)), full)).all()
    assert np.isnan(kendall_tau(ranks, np.ones(5))).all()


def test_shared_ranks():
    assert shared(np.array([[2.0, 1.0, 2.0, 9.0]]), "min").tolist() == [[2, 1, 2, 4]]
    assert shared(np.array([[2.0, 1.0, 2.0, 9.0]]), "average").tolist() == [[2.5, 1, 2.5, 4]]


def test_places_agree_with_the_leaderboard_and_shares_sum_to_one(made):
    data, board = found(made)
    (track,) = data["tracks"].values()
    assert [p["name"] for p in track["panels"]] == ["overall", "infarct", "meningioma", "brain_age"]
    place = {r["run"]: r["place"] for r in board["rows"] if r["place"]}
    for run, row in track["panels"][0]["places"].items():
        assert row["full"] == place[run]
    for panel in track["panels"]:
        for row in panel["places"].values():
            assert sum(row["share"]) == pytest.approx(1.0)
            assert 1 <= row["low"] <= row["median"] <= row["high"] <= 2
        assert sum(panel["tau"]["share"]) == pytest.approx(1.0)
        assert -1 <= panel["tau"]["low"] <= panel["tau"]["median"] <= panel["tau"]["high"] <= 1


def test_the_first_method_is_the_leaderboards_own(made):
    data, board = found(made)
    (track,) = data["tracks"].values()
    places = track["methods"]["places"]["overall"]
    assert {run: p[0] for run, p in places.items()} == {r["run"]: r["place"] for r in board["rows"] if r["place"]}
    assert all(len(p) == len(METHODS) for tasks in track["methods"]["places"].values() for p in tasks.values())


def test_case_ranks_can_turn_the_order_round(made):
    """A run that is a little better in most cases and far worse in one wins by case ranks and loses by the mean."""
    board = next(b for b in made if b.task.name == "meningioma")
    a, b = np.full((1, 12), 0.6), np.full((1, 12), 0.5)
    a[0, 0], b[0, 0] = 0.0, 1.0
    a[0, 1] = 0.0
    changed = {
        run: type(board.cases[run])(**{**vars(board.cases[run]), "dice": v, "nsd": v, "seeds": (0,)})
        for run, v in (("mae", a), ("scratch", b))
    }
    scores = {(run, m, -1): {"value": float(c.dice.mean())} for run, c in changed.items() for m in ("dice", "nsd")}
    board = type(board)(board.task, board.metrics, changed, scores, board.config, board.seed)
    data, _ = found_places(board)
    assert data["mae"] == [2, 2, 1, 1]
    assert data["scratch"] == [1, 1, 2, 2]


def found_places(board):
    job = world.board_job(tasks=["meningioma"])
    ranks = {"method": rank_arrays(["mae", "scratch"], [board], job.evaluate)}
    track = stability(job, [board], ranks)["tracks"]["method"]
    return track["methods"]["places"]["meningioma"], track


def test_nothing_is_said_of_one_run_and_little_without_resamples(made):
    assert found(made, runs=world.RUNS[:1])[0]["tracks"] == {}
    config = world.FAST.model_copy(update={"resamples": 0, "permutations": 0})
    boards = [type(b)(b.task, b.metrics, b.cases, b.scores, config, b.seed) for b in made]
    (track,) = found(boards, config=config)[0]["tracks"].values()
    assert track["panels"][0]["tau"] is None
    assert set(track["panels"][0]["places"]["mae"]) == {"full"}
