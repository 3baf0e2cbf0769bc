"""Guards fairness: gaps as a plain reading of the definition gives them; small groups out, and named."""

from dataclasses import replace

import numpy as np
import pytest
import world
from sklearn.metrics import roc_auc_score

from cairn.config.evaluate import EvaluateConfig, EvaluateJob, FairnessConfig
from cairn.datasets.people import gather_people
from cairn.errors import CairnError
from cairn.evaluate.fairness import age_band, fairness, groups_of, read_people
from cairn.evaluate.leaderboard import leaderboard
from cairn.evaluate.scores import evaluate
from cairn.evaluate.tables import RunCases, read_scores
from cairn.io.atomic import read_json, write_json
from cairn.io.tables import INDEX_COLUMNS, PEOPLE_COLUMNS, read_table, write_table

ON = FairnessConfig(enabled=True, min_cases=5, age_edges_years=(40, 60))


def cases(label, prediction, dice=None):
    prediction = np.atleast_2d(prediction).astype(float)
    n = prediction.shape[1]
    blank = np.full(prediction.shape, np.nan)
    keys = tuple((f"{i:03d}", "1") for i in range(n))
    status = (("ok",) * n,) * len(prediction)
    dice = blank if dice is None else np.atleast_2d(dice)
    return RunCases(
        "test", tuple(range(len(prediction))), keys, np.asarray(label, float), prediction, dice, blank, status
    )


def people(n, seed=0):
    rng = np.random.default_rng(seed)
    return {"age": [f"{a:.1f}" for a in rng.uniform(20, 90, n)], "sex": [*"FM" * n][:n]}


def named(rows, which=0):
    return {name: float(value.mean()) if which == 0 else n for name, n, value, _ in rows}


def test_gap_and_score_are_those_of_the_definition():
    rng = np.random.default_rng(1)
    n, seeds = 80, 2
    label, prediction = np.arange(n) // 2 % 2, rng.random((seeds, n))
    who = people(n)
    counts = np.ones((3, n), np.int64)
    found = named(fairness("auroc", cases(label, prediction), counts, who, ON, np.inf))
    ages = np.array([float(a) for a in who["age"]])
    groups = {
        "sex=F": np.array(who["sex"]) == "F", "sex=M": np.array(who["sex"]) == "M", "age=under_40": ages < 40,
        "age=40_to_60": (ages >= 40) & (ages < 60), "age=60_and_over": ages >= 60,
    }  # fmt: skip
    area = {g: [roc_auc_score(label[m], p[m]) for p in prediction] for g, m in groups.items()}
    for group, values in area.items():
        assert found[group] == pytest.approx(np.mean(values))
    gap = {
        v: np.mean([max(area[g][s] for g in area if g.startswith(v)) - min(area[g][s] for g in area if g.startswith(v))
                    for s in range(seeds)])
        for v in ("sex", "age")
    }  # fmt: skip
    assert {v: found[f"gap:{v}"] for v in gap} == pytest.approx(gap)
    assert found["fairness"] == pytest.approx(1 - np.mean(list(gap.values())))


def test_a_method_that_is_equally_good_everywhere_scores_1():
    who = people(40)
    found = named(
        fairness("dice", cases(np.zeros(40), np.zeros(40), np.full(40, 0.7)), np.ones((2, 40), int), who, ON, 0)
    )
    assert found["fairness"] == pytest.approx(1.0)
    assert [found["gap:sex"], found["gap:age"]] == pytest.approx([0, 0])
    unfair = np.where(np.array(who["sex"]) == "F", 0.9, 0.5)
    found = named(fairness("dice", cases(np.zeros(40), np.zeros(40), unfair), np.ones((2, 40), int), who, ON, 0))
    assert found["gap:sex"] == pytest.approx(0.4)


def test_small_and_one_class_groups_are_named_and_left_out():
    who = {"age": ["30"] * 4 + ["50"] * 18 + ["70"] * 18, "sex": ["F"] * 20 + ["M"] * 18 + ["n/a"] * 2}
    label = np.array([0, 1] * 11 + [1] * 18)
    rows = fairness("auroc", cases(label, np.linspace(0, 1, 40)), np.ones((2, 40), int), who, ON, 0)
    found, count = named(rows), named(rows, 1)
    assert np.isnan(found["age=under_40"])
    assert count["age=under_40"] == 4  # too few
    assert np.isnan(found["age=60_and_over"])
    assert count["age=60_and_over"] == 18  # one class
    assert np.isnan(found["sex=unknown"])
    assert count["sex=unknown"] == 2
    assert np.isnan(found["gap:age"])  # one group is left
    assert found["gap:sex"] == pytest.approx(abs(found["sex=F"] - found["sex=M"]))
    assert found["fairness"] == pytest.approx(1 - found["gap:sex"])  # the mean over the variables that have a gap
    alone = fairness("auroc", cases(np.ones(40), np.linspace(0, 1, 40)), np.ones((2, 40), int), who, ON, 0)
    assert np.isnan(named(alone)["fairness"])


def test_an_error_in_years_has_gaps_and_no_score():
    rows = fairness(
        "mae", cases(np.full(40, 50.0), np.linspace(40, 60, 40)), np.ones((2, 40), int), people(40), ON, 100
    )
    assert "fairness" not in named(rows)
    assert named(rows)["gap:sex"] >= 0


def test_a_resample_without_a_group_is_undefined_not_an_error():
    who = people(20)
    counts = np.zeros((1, 20), np.int64)
    counts[0, 1] = 20  # a man alone
    rows = {r[0]: r for r in fairness("dice", cases(np.zeros(20), np.zeros(20), np.full(20, 0.5)), counts, who, ON, 0)}
    assert np.isnan(rows["sex=F"][3]).all()
    assert np.isnan(rows["gap:sex"][3]).all()
    assert rows["sex=M"][3] == 0.5


@pytest.mark.parametrize(
    ("age", "band"),
    [("39.9", "under_40"), ("40", "40_to_60"), ("60.0", "60_and_over"), ("n/a", "unknown"), ("nan", "unknown")],
)
def test_bands(age, band):
    assert age_band(age, (40, 60)) == band
    assert list(groups_of({"age": [age], "sex": ["M"]}, ON)["age"]) == [band]


def test_people_come_from_index_and_truth(tmp_path):
    row = dict.fromkeys(INDEX_COLUMNS, "n/a")
    rows = [
        row | {"subject": s, "session": "1", "sequence": q, "sex": x, "age": a}
        for s, x, a in (("1", "female", "61"), ("2", "M", "n/a"), ("3", "?", "n/a"))
        for q in ("T1w", "T2w")
    ]
    write_table(tmp_path / "0000.tsv", rows, INDEX_COLUMNS)
    write_json(tmp_path / "0000.json", {"2/1": {"age": 44.5}})
    gather_people([tmp_path / "0000.tsv"], [tmp_path / "0000.json"], tmp_path / "people.tsv")
    found = [tuple(r.values()) for r in read_table(tmp_path / "people.tsv", PEOPLE_COLUMNS)]
    assert found == [("1", "1", "61", "F"), ("2", "1", "44.5", "M"), ("3", "1", "n/a", "n/a")]
    assert read_people(tmp_path / "people.tsv", [("2", "1")]) == {"age": ["44.5"], "sex": ["M"]}
    with pytest.raises(CairnError, match="lacks subject 9"):
        read_people(tmp_path / "people.tsv", [("9", "1")])


def test_rows_stand_in_scores_and_leaderboard_and_change_no_metric(tmp_path):
    truth = world.labels(tmp_path / "t", "classification", 24, np.random.default_rng(0))
    table = world.predict(tmp_path / "p", "classification", truth, 0.4, np.random.default_rng(1))
    write_table(
        tmp_path / "people.tsv",
        [{"subject": f"{i:04d}", "session": "1", "age": 30 + 2 * i, "sex": "FM"[i // 2 % 2]} for i in range(24)],
        PEOPLE_COLUMNS,
    )
    plain = EvaluateConfig(resamples=100, permutations=0)
    asked = EvaluateJob(run="mae", task=world.TASKS["infarct"], seeds=(0,), cohort="test", evaluate=plain)
    fair = asked.model_copy(update={"evaluate": plain.model_copy(update={"fairness": replace_min(ON)})})
    out = tmp_path / "infarct"
    evaluate(asked, truth, [table], out / "a.tsv", out / "a.parquet")
    evaluate(fair, truth, [table], out / "b.tsv", out / "b.parquet", tmp_path / "people.tsv")
    before, after = read_scores(out / "a.parquet"), read_scores(out / "b.parquet")
    assert after[: len(before)] == before
    names = {r["metric"] for r in after[len(before) :]}
    assert {"auroc@sex=F", "auroc@sex=M", "auroc@gap:sex", "auroc@gap:age", "auroc@fairness"} <= names
    job = world.board_job(runs=world.RUNS[:1], config=fair.evaluate, tasks=["infarct"])
    leaderboard(job, [out / "b.tsv"], [out / "b.parquet"], tmp_path / "l.csv", tmp_path / "l.json", tmp_path / "s.json")
    block = read_json(tmp_path / "l.json")["rows"][0]["scores"]["infarct"]["fairness"]["auroc"]
    assert block["fairness"]["value"] == pytest.approx(
        1 - (block["gap:sex"]["value"] + block["gap:age"]["value"]) / 2, abs=1e-5
    )
    with pytest.raises(CairnError, match="ages and sexes"):
        evaluate(fair, truth, [table], out / "c.tsv", out / "c.parquet")


def replace_min(config):
    return config.model_copy(update={"min_cases": 3})


def test_the_job_of_an_experiment_without_fairness_is_as_before():
    assert "fairness" not in EvaluateConfig().for_kind("classification")
    assert EvaluateConfig(fairness=ON).for_kind("probe")["fairness"]["min_cases"] == 5


def test_groups_keep_what_belongs_to_a_case():
    made = replace(
        cases(np.arange(6) % 3, np.arange(6) % 3),
        parts={f"p_{k}": np.eye(3)[np.arange(6) % 3][:, k][None] for k in range(3)},
    )
    who = {"age": ["30"] * 6, "sex": ["F"] * 6}
    few = ON.model_copy(update={"min_cases": 1})
    found = named(fairness("auroc_ovr", made, np.ones((1, 6), int), who, few, 0))
    assert found["sex=F"] == 1.0
