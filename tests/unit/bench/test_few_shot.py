"""Guards few-shot curves: nested, stratified subsets; more data no worse; no test label where items are predicted."""

import inspect
from itertools import pairwise

import numpy as np
import pytest
from made_items import made_features
from test_fit_head import rows_of, signal, task

from cairn.bench.few_shot import few_shot_curve, few_shot_predictions, subset
from cairn.bench.fit import HeadData
from cairn.bench.targets import Targets, write_targets
from cairn.config.bench import HeadJob
from cairn.config.evaluate import EvaluateConfig, EvaluateJob
from cairn.errors import CairnError
from cairn.io.tables import FEW_SHOT_COLUMNS, read_table


def test_subsets_are_nested_stratified_and_by_subject():
    subjects = [f"s{n // 2}" for n in range(80)]
    strata = [int(n // 2 >= 30) for n in range(80)]
    for draw in range(2):
        parts = [set(subset(subjects, strata, share, 0, draw)) for share in (0.01, 0.1, 0.5, 1.0)]
        assert all(a < b for a, b in pairwise(parts))
        assert [len(p) for p in parts] == [4, 8, 40, 80]
        for part in parts:
            assert {n // 2 for n in part} == {n // 2 for n in range(80) if n in part and n ^ 1 in part}
            assert {strata[n] for n in part} == {0, 1}
    assert subset(subjects, strata, 0.1, 0, 0) != subset(subjects, strata, 0.1, 0, 1)


def curve(tmp_path, kind="probe", shares=(0.02, 0.2, 1.0)):
    what = task(kind, epochs=30)
    shares = {"shares": shares, "draws": 2}
    what = what.model_copy(update={"frozen": type(what.frozen)(**{**what.frozen.model_dump(), "few_shot": shares})})
    job = HeadJob(run="r", task=what)
    x, targets = signal(kind, 120)
    test_x, test_targets = signal(kind, 60, seed=8)
    write_targets(tmp_path / "train.tsv", what, rows_of(what, targets))
    write_targets(tmp_path / "test.tsv", what, rows_of(what, test_targets))
    train = made_features(tmp_path / "train.safetensors", x)
    test = made_features(tmp_path / "test.safetensors", test_x)
    facts = few_shot_predictions(job, train, tmp_path / "train.tsv", test, tmp_path / "predictions.tsv")
    return what, facts


def test_a_curve_rises_and_has_intervals(tmp_path):
    what, facts = curve(tmp_path)
    assert [(h["share"], h["draw"]) for h in facts["heads"]] == [(0.02, 0), (0.02, 1), (0.2, 0), (0.2, 1), (1.0, 0)]
    assert "sweep" not in facts
    reference = {"name": what.name, "kind": what.kind, "classes": what.classes}
    job = EvaluateJob(run="r", task=reference, seeds=(0,), evaluate=EvaluateConfig(resamples=200, permutations=0))
    few_shot_curve(job, tmp_path / "predictions.tsv", tmp_path / "test.tsv", tmp_path / "curve.tsv")
    rows = read_table(tmp_path / "curve.tsv", FEW_SHOT_COLUMNS)
    mean = {float(r["share"]): r for r in rows if r["seed"] == "-1" and r["metric"] == "auroc_ovr"}
    assert sorted(mean) == [0.02, 0.2, 1.0]
    assert [mean[s]["n"] for s in (0.02, 1.0)] == ["3", "120"]
    assert 22 <= int(mean[0.2]["n"]) <= 26  # a fifth of each class
    values = [float(mean[s]["value"]) for s in (0.02, 0.2, 1.0)]
    assert values[0] < values[1] <= values[2] + 0.02
    assert values[2] > 0.9
    assert all(float(r["ci_low"]) <= float(r["value"]) <= float(r["ci_high"]) for r in mean.values())
    assert np.ptp([float(r["value"]) for r in rows if r["share"] == "0.02" and r["seed"] in "01"]) > 0


def test_shares_of_the_same_subjects_are_fitted_once_at_the_largest(tmp_path):
    (tmp_path / "one").mkdir()
    _, alone = curve(tmp_path / "one")
    _, facts = curve(tmp_path, shares=(0.001, 0.01, 0.02, 0.2, 0.999, 1.0))
    assert facts["merged"] == {"0.001": 0.02, "0.01": 0.02, "0.999": 1.0}
    assert facts["heads"] == alone["heads"]
    assert (tmp_path / "predictions.tsv").read_bytes() == (tmp_path / "one/predictions.tsv").read_bytes()


def test_the_job_that_predicts_has_no_test_target():
    assert list(inspect.signature(few_shot_predictions).parameters) == [
        "job", "features", "targets", "test_features", "predictions", "threads"
    ]  # fmt: skip


def test_a_task_without_a_curve_is_refused(tmp_path):
    with pytest.raises(CairnError, match="no few-shot curve"):
        few_shot_predictions(HeadJob(run="r", task=task("probe")), *[tmp_path] * 4)


def test_a_share_is_a_share_of_people_also_where_each_shows_every_class():
    """40 people with 12 structures each: 10 % are 4 people, not one a structure."""
    subjects = [f"s{n // 12:02d}" for n in range(480)]
    order = np.random.default_rng(0)
    classes = np.concatenate([order.permutation(12) for _ in range(40)]).astype(float)
    targets = Targets(classes, np.zeros(480), np.zeros((480, 0)))
    data = HeadData(np.zeros((480, 1)), targets, subjects)
    for share, people in ((0.01, 1), (0.1, 4), (0.5, 20), (1.0, 40)):
        kept = subset(subjects, data.strata("probe"), share, 0, 0)
        assert len({subjects[n] for n in kept}) == people
        assert len(kept) == 12 * people
