"""Guards the three findings: they follow from the scores, in the right direction, and say when nothing is shown."""

from pathlib import Path

import numpy as np
import pytest
import world
import yaml
from scipy.stats import spearmanr
from snakemake.utils import update_config

from cairn.config.findings import FAMILIES, FindingsJob
from cairn.config.networks import ResidualConfig
from cairn.config.objectives import ObjectiveConfig
from cairn.config.runs import Run
from cairn.evaluate.board import read_board
from cairn.evaluate.findings import (
    alike,
    by_tasks,
    compared,
    enough,
    families,
    pretraining,
    ranks,
    scaling,
    spearman,
    twin_of,
)
from cairn.plan import Plan

ROOT = Path(__file__).resolve().parents[3]
KINDS = ("mae", "mae_long", "hybrid", "simclr")


def run(name: str, method: str = "pretrained", **more: object) -> Run:
    return Run(run=name, label=name.title(), method=method, network="unet", **more)


RUNS = (*(run(k, objective=k, pretrain_data="p") for k in KINDS), run("scratch", "scratch"))
INDOMAIN = (
    run("mae_id", objective="mae", pretrain_data="p", train_on="indomain"),
    run("scratch_id", "scratch", train_on="indomain"),
)


def job(runs=RUNS, config=world.FAST) -> FindingsJob:
    made = [r.run for r in runs if r.method == "pretrained"]
    return FindingsJob(
        **world.board_job(runs, config).model_dump(), samples=dict.fromkeys(made, 100),
        families={r: FAMILIES[r.split("_")[0]] for r in made},
        networks={r: ResidualConfig(channels=(4, 8 * (i + 1)), blocks=(0, 1)) for i, r in enumerate(made)},
    )  # fmt: skip


@pytest.fixture(scope="module")
def boards(tmp_path_factory):
    """Every pretrained run is good, the hybrid best, those from scratch poor."""
    runs = (*RUNS, *INDOMAIN)
    skill = {
        "mae": 0.7,
        "mae_long": 0.7,
        "hybrid": 0.95,
        "simclr": 0.6,
        "scratch": 0.1,
        "mae_id": 0.6,
        "scratch_id": 0.6,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "SKILL", skill)
        files = world.evaluated(tmp_path_factory.mktemp("findings"), n=24, runs=runs)
    return read_board(job(runs), *files)


def test_every_kind_of_objective_has_a_family():
    kinds = {ObjectiveConfig.model_fields["kind"].default} if hasattr(ObjectiveConfig, "model_fields") else {
        section.model_fields["kind"].default for section in ObjectiveConfig.__args__[0].__args__
    }  # fmt: skip
    assert kinds <= set(FAMILIES)


def test_gains_are_means_over_twins_signed_so_that_positive_is_better(boards):
    rows = [r for r in pretraining(job(), boards) if r["setting"] == "shifted"]
    assert rows[0]["pairs"] == [[k, "scratch"] for k in KINDS]
    for row in rows:
        board = next(b for b in boards if b.task.name == row["task"])
        values = [board.value(k, row["metric"]) - board.value("scratch", row["metric"]) for k in KINDS]
        assert row["value"] == pytest.approx(np.mean(values) * (-1 if row["metric"] == "mae" else 1))
        assert row["low"] < row["value"] < row["high"]
    assert {r["verdict"] for r in rows if r["metric"] in ("mae", "auroc")} == {"better"}


def test_a_setting_is_told_apart_by_its_labels_and_equals_are_not_shown(boards):
    rows = pretraining(job((*RUNS, *INDOMAIN)), boards)
    indomain = [r for r in rows if r["setting"] == "in-domain"]
    assert indomain[0]["pairs"] == [["mae_id", "scratch_id"]]
    assert {r["verdict"] for r in indomain} == {"not shown"}


def test_two_seeds_show_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(world, "SKILL", {"mae": 1.0, "scratch": 0.0})
    runs = (RUNS[0], RUNS[-1])
    files = world.evaluated(tmp_path, runs=runs, seeds=2, tasks=["brain_age"])
    asked = job(runs).model_copy(update={"tasks": {"brain_age": world.board_job().tasks["brain_age"]}})
    rows = pretraining(asked, read_board(asked, *files))
    assert rows[0]["low"] > 0
    assert rows[0]["verdict"] == "not shown"


def test_a_twin_has_the_same_network_labels_and_input():
    other = run("wide", objective="mae").model_copy(update={"network": "wide"})
    unlike = RUNS[0].model_copy(update={"contract": "curia-1"})
    assert twin_of(unlike, RUNS) == ""
    assert [twin_of(r, (*RUNS, *INDOMAIN)) for r in (RUNS[0], INDOMAIN[0], other, RUNS[-1])] == [
        "scratch", "scratch_id", "", "",
    ]  # fmt: skip


def test_family_ranks_are_means_of_ranks_among_the_pretrained(boards):
    data = families(job(), boards)
    assert data["members"] == {"masked": ["mae", "mae_long"], "hybrid": ["hybrid"], "contrastive": ["simclr"]}
    once, _ = ranks(list(KINDS), boards)
    for t, row in enumerate(data["tasks"]):
        assert row["ranks"]["masked"]["value"] == pytest.approx(once[t][:2].mean())
        assert row["ranks"]["hybrid"]["value"] == once[t][2]
        # A naive rank: one more than the number of better runs, per metric, then the mean.
        board = boards[t]
        naive = [
            np.mean([
                1 + sum(
                    round(board.value(o, m.name), m.decimals) * s > round(board.value(r, m.name), m.decimals) * s
                    for o in KINDS
                )
                for m in board.metrics for s in [1 if m.higher_is_better else -1]
            ])
            for r in KINDS
        ]  # fmt: skip
        assert once[t].tolist() == pytest.approx(naive)


def test_claims_compare_the_families_that_fomo25_names(boards):
    claims = {c["task"]: c for c in families(job(), boards)["claims"]}
    assert {t: (c["expected"], c["over"]) for t, c in claims.items()} == {
        "infarct": ("hybrid", "masked"), "meningioma": ("masked", "hybrid"), "brain_age": ("hybrid", "masked"),
    }  # fmt: skip
    assert claims["brain_age"]["verdict"] == "better"  # the hybrid is best everywhere in this world
    assert claims["meningioma"]["value"] < 0


@pytest.mark.parametrize(
    ("column", "other"), [("network", "wide"), ("data_fraction", 0.5), ("pretrain_data", "q"), ("samples", 50)]
)
def test_families_differ_in_their_objective_alone(boards, column, other):
    """One that is smaller, or has seen less, says nothing of its family."""
    asked = job()
    if column == "samples":
        asked = asked.model_copy(update={"samples": {**asked.samples, "mae_long": other}})
    else:
        runs = tuple(r.model_copy(update={column: other}) if r.run == "mae_long" else r for r in RUNS)
        asked = asked.model_copy(update={"runs": runs})
    data = families(asked, boards)
    assert alike(asked) == ["mae", "hybrid", "simclr"]
    assert data["members"]["masked"] == ["mae"]
    assert data["left_out"] == ["mae_long"]
    assert data["shared"] == {"network": "unet", "data_fraction": 1.0, "pretrain_data": "p", "samples": 100}


def test_the_group_of_most_families_is_compared_then_that_of_most_runs():
    wide = {"mae", "hybrid"}
    runs = tuple(r.model_copy(update={"network": "wide"}) if r.run in wide else r for r in RUNS)
    assert alike(job(runs)) == ["mae", "hybrid"]  # as many families and runs as the others: the first in the table
    longer = (*runs, run("mae_more", objective="mae", pretrain_data="p"))
    assert alike(job(longer)) == ["mae_long", "simclr", "mae_more"]


@pytest.mark.parametrize("layers", [("demo", "study_cpu"), ("demo", "demo_large", "study_gpu")], ids="-".join)
def test_every_question_can_be_asked_of_the_shipped_studies(layers):
    config: dict = {}
    for name in layers:
        update_config(config, yaml.safe_load((ROOT / f"config/{name}.yaml").read_text()))
    asked = FindingsJob.model_validate_json(Plan(config, ROOT).findings_job())
    twins = {(r.train_on, bool(twin_of(r, asked.runs))) for r in asked.runs}
    assert {("finetune", True), ("indomain", True)} <= twins
    same = alike(asked)
    assert {asked.families[r] for r in same} == set(FAMILIES.values())
    assert len({r.objective for r in asked.runs if r.run in same}) == len(same)
    (group,) = by_tasks(asked).values()
    assert enough([asked.samples[r] for r in group])
    assert len({asked.networks[r].model_dump_json() for r in group}) >= 3


def test_one_family_is_nothing_to_compare(boards):
    assert families(job(RUNS[:2]), boards) == {}


def test_goodness_goes_with_size_where_larger_is_better(boards):
    sizes = {"simclr": 1, "mae": 10, "mae_long": 11, "hybrid": 100}
    data = scaling(job(), boards, sizes)
    assert data["parameters"]["value"] > 0.7
    assert data["parameters"]["low"] <= data["parameters"]["value"] <= data["parameters"]["high"]
    assert [r["parameters"] for r in data["runs"]] == [10, 11, 100, 1]
    upside_down = scaling(job(), boards, {k: 1000 - v for k, v in sizes.items()})
    assert upside_down["parameters"]["value"] == pytest.approx(-data["parameters"]["value"])


def test_runs_of_one_size_are_not_asked(boards):
    assert scaling(job(), boards, dict.fromkeys(KINDS, 5))["parameters"] is None
    assert scaling(job(RUNS[:3]), boards, {k: i for i, k in enumerate(KINDS)})["parameters"] is None


def test_only_pretrained_runs_on_the_shifted_set_are_compared():
    assert compared(job((*RUNS, *INDOMAIN))) == list(KINDS)


def test_spearman_is_scipys():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 5, 9).astype(float), rng.integers(0, 5, (20, 9)).astype(float)
    y[3] = 2.0
    found = spearman(x, y)
    assert np.isnan(found[3])
    for i in (0, 1, 2, 4, 19):
        assert found[i] == pytest.approx(spearmanr(x, y[i]).statistic)


def in_two_tracks():
    """The runs in a track of two tasks, three of them again in a track of one."""
    again = [
        r.model_copy(update={"run": f"{r.run}_b", "track": "b"}) for r in RUNS if r.run in ("mae", "hybrid", "scratch")
    ]
    runs = (*(r.model_copy(update={"track": "a"}) for r in RUNS), *again)
    rules = {"a": {"tasks": ("infarct", "brain_age")}, "b": {"tasks": ("meningioma",)}}
    return FindingsJob.model_validate(job(runs).model_dump() | {"tracks": rules})


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    asked, root = in_two_tracks(), tmp_path_factory.mktemp("two")
    cases, scores = [], []
    for r in asked.runs:
        made = world.evaluated(root, n=10, runs=[r], tasks=asked.tasks_of(r.track))
        cases += made[0]
        scores += made[1]
    return asked, read_board(asked, cases, scores)


def test_a_run_is_paired_with_the_twin_of_its_own_track(two):
    asked, boards = two
    by_name = {r.run: r for r in asked.runs}
    assert twin_of(by_name["mae_b"], asked.runs) == "scratch_b"
    assert twin_of(by_name["mae"], asked.runs) == "scratch"
    assert twin_of(by_name["mae_b"], RUNS) == "scratch"  # none there: another track's
    rows = {r["task"]: r for r in pretraining(asked, boards) if r["setting"] == "shifted"}
    assert rows["meningioma"]["pairs"] == [["mae_b", "scratch_b"], ["hybrid_b", "scratch_b"]]
    assert ["mae_b", "scratch_b"] not in rows["infarct"]["pairs"]
    assert all(r["value"] is not None for r in rows.values())


def test_families_are_compared_where_they_compete_and_sizes_within_one_set_of_tasks(two):
    asked, boards = two
    found = families(asked, boards)
    by_task = {t["task"]: t["ranks"] for t in found["tasks"]}
    assert by_task["meningioma"]["contrastive"] == {"value": None, "low": None, "high": None}
    assert by_task["infarct"]["contrastive"]["value"] is not None
    assert max(v["value"] for v in by_task["meningioma"].values() if v["value"]) <= 2
    sizes = {r: 100 * (i + 1) for i, r in enumerate(asked.families)}
    told = scaling(asked, boards, sizes)
    assert told["tracks"] == ["a"]
    assert {r["run"] for r in told["runs"]} == set(KINDS)
