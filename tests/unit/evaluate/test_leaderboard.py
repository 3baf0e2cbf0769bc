"""Guards the leaderboard as a whole: files, intervals, claims, and the inputs it must refuse."""

import csv
import io
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import world

from cairn.config.runs import Run
from cairn.config.tracks import TrackConfig
from cairn.errors import CairnError
from cairn.evaluate.board import boards_of, read_board
from cairn.evaluate.comparison import separated
from cairn.evaluate.leaderboard import leaderboard, rank_arrays
from cairn.evaluate.tables import read_scores, write_scores
from cairn.io.atomic import read_json


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    return root, *world.evaluated(root)


def rank(folder, cases, scores, **changes):
    leaderboard(world.board_job(**changes), cases, scores, folder / "l.csv", folder / "l.json", folder / "s.json")
    return read_json(folder / "l.json")


def test_table_and_data_agree_and_hold_every_number(files, tmp_path):
    _, cases, scores = files
    data = rank(tmp_path, cases, scores)
    rows = list(csv.DictReader((tmp_path / "l.csv").open()))
    assert [r["run"] for r in rows] == [r["run"] for r in data["rows"]] == ["mae", "scratch", "classical"]
    assert [r["place"] for r in rows] == ["1", "2", ""]
    assert float(rows[0]["overall_rank"]) == data["rows"][0]["overall"]["value"] == 1.0
    for row, line in zip(data["rows"], rows, strict=True):
        for task in data["tasks"]:
            for name, value in row["scores"][task["name"]]["metrics"].items():
                cells = [line[f"{task['name']}_{name}{end}"] for end in ("", "_low", "_high")]
                assert [float(c) for c in cells] == [value["value"], value["low"], value["high"]]
                assert value["low"] <= value["value"] <= value["high"]


def test_order_of_files_and_unranked_runs_change_no_rank(files, tmp_path):
    _, cases, scores = files
    first = rank(tmp_path, cases, scores)
    again = rank(tmp_path, cases[::-1], scores[::-1])
    assert first == again
    others = [i for i, p in enumerate(cases) if "classical" not in p.parts]
    without = rank(tmp_path, [cases[i] for i in others], [scores[i] for i in others], runs=world.RUNS[:2])
    assert [r["overall"] for r in without["rows"]] == [r["overall"] for r in first["rows"][:2]]


def test_bytes_are_equal_when_made_twice(files, tmp_path):
    _, cases, scores = files
    texts = []
    for name in "ab":
        rank(tmp_path / name, cases, scores)
        texts.append([(tmp_path / name / f).read_bytes() for f in ("l.csv", "l.json")])
    assert texts[0] == texts[1]


def test_pretraining_effect_has_sign_interval_p_and_verdict(files, tmp_path):
    _, cases, scores = files
    effect = rank(tmp_path, cases, scores)["pretraining"]
    assert [(e["task"], e["metric"]) for e in effect] == [
        ("infarct", "auroc"), ("meningioma", "dice"), ("meningioma", "nsd"), ("brain_age", "mae"),
        ("brain_age", "pearson_r"),
    ]  # fmt: skip
    for e in effect:
        assert (e["a"], e["b"]) == ("mae", "scratch")
        assert e["low"] <= e["difference"] <= e["high"]
        assert e["difference"] > 0
        assert 0 < e["p"] <= e["p_holm"] <= 1
        assert (e["verdict"] == "helped") == (e["low"] > 0 and e["p_holm"] < 0.05)
    assert "helped" in {e["verdict"] for e in effect}


def test_two_seeds_support_no_claim(tmp_path):
    cases, scores = world.evaluated(tmp_path, n=20, seeds=2, tasks=["brain_age"])
    data = rank(tmp_path, cases, scores, tasks=["brain_age"])
    assert {e["verdict"] for e in data["pretraining"]} == {"unclear"}
    assert data["separable"]["method"]["winner"] is None
    assert not data["separable"]["method"]["enough_seeds"]


def test_equal_runs_share_place_and_tier_and_nobody_wins(files, tmp_path):
    _, cases, _ = files
    twin = Run(run="scratch", label="twin", method="scratch", network="unet")
    runs = (twin, twin.model_copy(update={"run": "again"}))
    both = [p for p in cases if "scratch" in p.parts]
    copied = []
    for path in both:
        target = tmp_path / "evaluate" / "again" / path.parent.name
        shutil.copytree(path.parent, target)
        write_scores(target / "scores.parquet", [r | {"run": "again"} for r in read_scores(target / "scores.parquet")])
        copied.append(target / "cases.tsv")
    every = both + copied
    data = rank(tmp_path, every, [p.with_name("scores.parquet") for p in every], runs=runs)
    assert [(r["place"], r["tier"], r["first_share"]) for r in data["rows"]] == [(1, 1, 0.5)] * 2
    assert data["separable"]["method"]["winner"] is None


def test_tiers_follow_the_permutation_tests_of_the_ranked_runs(files, tmp_path):
    _, cases, scores = files
    data = rank(tmp_path, cases, scores)
    told, tier = data["separable"]["method"], {r["run"]: r["tier"] for r in data["rows"]}
    pairs = [r for r in data["pairs"] if {r["a"], r["b"]} == {"mae", "scratch"}]
    least = min(r["p"] for r in pairs if r["difference"] > 0)
    assert least * len(pairs) < world.FAST.significance  # Holm's first step, over all five metrics
    assert tier == {"mae": 1, "scratch": 2, "classical": None}
    assert told == {"winner": "mae", "together": ["mae"], "enough_seeds": True}
    untested = world.board_job(config=world.FAST.model_copy(update={"permutations": 0}))
    leaderboard(untested, cases, scores, tmp_path / "u.csv", tmp_path / "u.json", tmp_path / "us.json")
    without = read_json(tmp_path / "u.json")
    assert [r["tier"] for r in without["rows"]] == [1, 1, None]
    assert without["separable"]["method"] == {"winner": None, "together": ["mae", "scratch"], "enough_seeds": True}


def told_apart(rows, entered=("a", "b", "c"), runs=("a", "b", "c")):
    made = [
        {"task": task, "metric": metric, "a": one, "b": two, "difference": gain, "p": p}
        for task, metric, one, two, gain, p in rows
    ]
    boards = [
        SimpleNamespace(task=SimpleNamespace(name="t"), cases=dict.fromkeys(entered)),
        SimpleNamespace(task=SimpleNamespace(name="u"), cases=dict.fromkeys(("a", "b", "c"))),
    ]
    return separated(made, runs, boards, 0.05)


def test_a_run_is_told_from_another_where_it_is_better_on_one_metric_and_worse_on_none():
    better = ("t", "x", "a", "b", 1.0, 0.001)
    assert told_apart([better]) == {("a", "b")}
    assert told_apart([("t", "x", "a", "b", -1.0, 0.001)]) == {("b", "a")}
    assert told_apart([better, ("u", "y", "a", "b", -1.0, 0.9)]) == {("a", "b")}
    assert told_apart([better, ("u", "y", "a", "b", -1.0, 0.001)]) == set()  # each is better at something
    assert told_apart([("t", "x", "a", "b", None, None)]) == set()
    assert told_apart([better], entered=("a", "b")) == {("a", "b"), ("a", "c"), ("b", "c")}  # c lacks the task


def test_the_correction_spans_all_metrics_of_the_runs_that_compete():
    row = ("t", "x", "a", "b", 1.0, 0.03)
    assert told_apart([row]) == {("a", "b")}
    assert told_apart([row, ("u", "y", "a", "b", 1.0, 0.5)]) == set()
    assert told_apart([row, ("t", "x", "a", "c", 1.0, 0.5)], runs=("a", "b")) == {("a", "b")}  # c does not compete
    assert told_apart([row, ("elsewhere", "z", "a", "b", 1.0, 0.5)]) == {("a", "b")}


def test_a_run_without_a_task_ranks_behind_all_entries(files, tmp_path):
    _, cases, scores = files
    keep = [i for i, p in enumerate(cases) if p.parts[-3:-1] != ("mae", "infarct")]
    data = rank(tmp_path, [cases[i] for i in keep], [scores[i] for i in keep])
    (row,) = (r for r in data["rows"] if r["run"] == "mae")
    assert row["ranks"]["infarct"] == {"value": 2.0, "low": 2.0, "high": 2.0}
    assert "infarct" not in row["scores"]


def test_tracks_are_ranked_apart(files, tmp_path):
    _, cases, scores = files
    runs = [*world.RUNS[:1], world.RUNS[1].model_copy(update={"track": "open"}), world.RUNS[2]]
    data = rank(tmp_path, cases, scores, runs=runs)
    assert {r["run"]: r["place"] for r in data["rows"]} == {"mae": 1, "scratch": 1, "classical": None}
    assert data["separable"]["open"]["winner"] is None


def test_other_test_cases_unknown_runs_and_doubles_are_refused(files, tmp_path):
    _, cases, scores = files
    with pytest.raises(CairnError, match="not configured"):
        rank(tmp_path, cases, scores, runs=world.RUNS[:1])
    with pytest.raises(CairnError, match="given twice"):
        rank(tmp_path, [*cases, cases[0]], [*scores, scores[0]])
    with pytest.raises(CairnError, match="in pairs"):
        rank(tmp_path, cases[1:], scores)
    other = tmp_path / "evaluate"
    few = world.evaluated(other, n=10, tasks=["brain_age"], runs=world.RUNS[:1])
    mixed = [i for i, p in enumerate(cases) if "brain_age" in p.parts and "scratch" in p.parts]
    with pytest.raises(CairnError, match="different test cases"):
        rank(tmp_path, [*few[0], *(cases[i] for i in mixed)], [*few[1], *(scores[i] for i in mixed)])


def test_rank_intervals_contain_the_rank_and_stay_in_range(files, tmp_path):
    _, cases, scores = files
    for row in rank(tmp_path, cases, scores)["rows"][:2]:
        overall = row["overall"]
        assert 1 <= overall["low"] <= overall["value"] <= overall["high"] <= 2
        assert np.isclose(overall["value"], np.mean([r["value"] for r in row["ranks"].values()]))


def other_tasks(**tracks):
    """Two runs in ``a``, one in ``b``."""
    runs = tuple(r.model_copy(update={"track": t, "ranked": True}) for r, t in zip(world.RUNS, "aab", strict=True))
    rules = {name: {"tasks": tasks} for name, tasks in tracks.items()}
    return world.board_job(runs).model_copy(update={"tracks": {n: TrackConfig(**r) for n, r in rules.items()}})


def test_tracks_are_ranked_on_their_own_tasks(tmp_path):
    job = other_tasks(a=("infarct", "brain_age"), b=("meningioma",))
    cases, scores = [], []
    for run in job.runs:
        made = world.evaluated(tmp_path, n=8, seeds=1, runs=[run], tasks=job.tasks_of(run.track))
        cases += made[0]
        scores += made[1]
    table, data, stable = (tmp_path / n for n in ("l.csv", "l.json", "s.json"))
    leaderboard(job, cases, scores, table, data, stable)
    rows = {r["run"]: r for r in read_json(data)["rows"]}
    assert set(rows["mae"]["ranks"]) == {"infarct", "brain_age"}
    assert set(rows["classical"]["ranks"]) == {"meningioma"}
    assert rows["classical"]["overall"]["value"] == 1.0  # the two tasks of the other track cost it nothing
    cells = {r["run"]: r for r in csv.DictReader(io.StringIO(table.read_text()))}
    assert cells["mae"]["meningioma_dice"] == cells["mae"]["meningioma_rank"] == ""
    assert cells["mae"]["infarct_auroc"] != ""
    assert {p["name"] for p in read_json(stable)["tracks"]["a"]["panels"]} == {"overall", "infarct", "brain_age"}
    assert "b" not in read_json(stable)["tracks"]  # one run has no order
    assert {(p["task"], p["a"], p["b"]) for p in read_json(data)["pairs"]} == {
        ("infarct", "mae", "scratch"), ("brain_age", "mae", "scratch"),
    }  # fmt: skip


def test_a_missing_task_costs_only_within_the_track(tmp_path):
    job = other_tasks(a=("infarct", "brain_age"))
    cases, scores = world.evaluated(tmp_path, n=8, seeds=1, runs=job.runs[:1], tasks=["infarct", "brain_age"])
    more = world.evaluated(tmp_path, n=8, seeds=1, runs=job.runs[1:2], tasks=["infarct"])
    board = read_board(job, cases + more[0], scores + more[1])
    ranks = rank_arrays(["mae", "scratch"], boards_of(job, board, "a"), job.evaluate)[0]
    assert ranks[1].tolist() == [[1.0, 2.0]]  # one entry: who is missing ranks second
    assert len(ranks) == 2


def test_a_score_on_a_task_of_another_track_is_refused(tmp_path):
    job = other_tasks(a=("infarct",))
    cases, scores = world.evaluated(tmp_path, n=6, seeds=1, runs=job.runs[:1], tasks=["brain_age"])
    with pytest.raises(CairnError, match="'mae' on task 'brain_age' is not configured"):
        read_board(job, cases, scores)


def test_without_rules_a_track_takes_all_tasks():
    job = other_tasks(c=("infarct",))
    assert job.tasks_of("a") == list(world.TASKS)
    assert job.track_names == ["a", "b", "c"]
