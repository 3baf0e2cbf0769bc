"""Guards the table of worst cases: what is wrong with a prediction is named and never pays."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import world

from cairn.config.evaluate import EvaluateConfig, EvaluateJob
from cairn.errors import CairnError
from cairn.evaluate.cases import score_cases
from cairn.evaluate.scores import evaluate
from cairn.evaluate.tables import CASE_COLUMNS, read_cases, read_scores
from cairn.io.atomic import sha256
from cairn.io.tables import read_table

CONFIG = EvaluateConfig()


def table(folder: Path, values: dict[str, object]) -> Path:
    rows = [{"subject": s, "session": "1", "value": v, "status": "ok"} for s, v in values.items()]
    return world.write_predictions(folder, rows)


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("n/a", "not-a-number"),
        ("nan", "not-finite"),
        ("inf", "not-finite"),
        ("5", "out-of-range"),
        ("-0.1", "out-of-range"),
    ],
)
def test_an_invalid_probability_becomes_the_opposite_of_the_label(tmp_path, value, status):
    truth = world.labels(tmp_path, "classification", 4, np.random.default_rng(0))
    cases = score_cases(truth, table(tmp_path, {"0000": value, "0001": value}), "classification", CONFIG)
    assert [(c.status, c.prediction) for c in cases] == [(status, 1), (status, 0), ("missing", 1), ("missing", 0)]


def test_an_invalid_age_costs_100_years_and_correlation(tmp_path):
    truth = world.labels(tmp_path, "regression", 6, np.random.default_rng(0))
    cases = score_cases(truth, table(tmp_path, {"0000": "131", "0001": "nan"}), "regression", CONFIG)
    assert {c.status for c in cases} == {"out-of-range", "not-finite", "missing"}
    assert [abs(c.prediction - c.label) for c in cases] == pytest.approx([100.0] * 6)
    assert np.corrcoef([c.label for c in cases], [c.prediction for c in cases])[0, 1] < -0.8


def test_the_reason_that_predict_gives_is_kept(tmp_path):
    truth = world.labels(tmp_path, "classification", 1, np.random.default_rng(0))
    row = {"subject": "0000", "session": "1", "value": "0.1", "status": "quarantined: truncated"}
    (case,) = score_cases(truth, world.write_predictions(tmp_path, [row]), "classification", CONFIG)
    assert (case.status, case.prediction) == ("quarantined: truncated", 1.0)


def test_a_session_without_label_is_not_scored(tmp_path):
    truth = world.labels(tmp_path, "classification", 2, np.random.default_rng(0))
    cases = score_cases(truth, table(tmp_path / "a", {"0000": 0.1, "0001": 0.8, "0009": 0.2}), "classification", CONFIG)
    assert [(c.subject, c.status) for c in cases] == [("0000", "ok"), ("0001", "ok")]


def test_a_session_predicted_twice_is_an_error(tmp_path):
    truth = world.labels(tmp_path, "classification", 2, np.random.default_rng(0))
    row = {"subject": "0001", "session": "1", "value": 0.5, "status": "ok"}
    with pytest.raises(CairnError, match="twice"):
        score_cases(truth, world.write_predictions(tmp_path / "b", [row, row]), "classification", CONFIG)


def masks(tmp_path, spoil):
    """Three good masks, the first spoiled; returns the cases."""
    truth = world.labels(tmp_path / "truth", "segmentation", 3, np.random.default_rng(0))
    from cairn.io.nifti import read_mask

    folder, rows = tmp_path / "predict", []
    for i in range(3):
        mask = read_mask(truth.parent / f"masks/{i:04d}.nii.gz")
        rows.append({"subject": f"{i:04d}", "session": "1", "status": "ok", **world.mask_row(folder, f"{i:04d}", mask)})
    spoil(folder, rows[0])
    return score_cases(truth, world.write_predictions(folder, rows), "segmentation", CONFIG)


def alter(folder, row):
    world.mask_row(folder, "0000", np.ones(world.SHAPE))


def truncate(folder, row):
    path = folder / row["mask"]
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:500]))
    row["mask_sha256"] = sha256(path)


def shift(folder, row):
    moved = world.AFFINE.copy()
    moved[0, 3] = 2.0
    row |= world.mask_row(folder, "0000", np.ones(world.SHAPE), moved)


def reshape(folder, row):
    row |= world.mask_row(folder, "0000", np.ones((4, 4, 4)))


def remove(folder, row):
    (folder / row["mask"]).unlink()


@pytest.mark.parametrize(
    ("spoil", "status"),
    [
        (alter, "mask-altered"),
        (truncate, "truncated"),
        (shift, "wrong-grid"),
        (reshape, "wrong-shape"),
        (remove, "no-mask"),
    ],
)
def test_an_invalid_mask_scores_0_and_says_why(tmp_path, spoil, status):
    first, *rest = masks(tmp_path, spoil)
    assert (first.status, first.dice, first.nsd) == (status, 0.0, 0.0)
    assert [(c.status, c.dice, c.nsd) for c in rest] == [("ok", 1.0, 1.0)] * 2


def test_a_missing_mask_scores_0_even_where_there_is_no_lesion(tmp_path):
    truth = world.labels(tmp_path, "segmentation", 5, np.random.default_rng(0))
    cases = score_cases(truth, world.write_predictions(tmp_path, []), "segmentation", CONFIG)
    assert [(c.status, c.dice, c.nsd) for c in cases] == [("missing", 0.0, 0.0)] * 5


def job(kind: str, seeds: tuple[int, ...]) -> EvaluateJob:
    task = next(t for t in world.TASKS.values() if t["kind"] == kind)
    return EvaluateJob(run="mae", task=task, seeds=seeds, cohort="test", evaluate=world.FAST)


def test_files_follow_the_contract_and_read_back_the_same(tmp_path):
    truth = world.labels(tmp_path, "regression", 12, np.random.default_rng(0))
    tables = [world.predict(tmp_path / str(s), "regression", truth, 0.5, np.random.default_rng(s)) for s in (1, 2, 3)]
    out = tmp_path / "cases.tsv", tmp_path / "scores.parquet"
    facts = evaluate(job("regression", (0, 1, 2)), truth, tables, *out)
    assert facts == {"cases": 12, "invalid_predictions": []}
    rows = read_table(out[0])
    assert list(rows[0]) == list(CASE_COLUMNS)
    assert rows[0]["dice"] == "n/a"
    scores = {(r["metric"], r["seed"]): r for r in read_scores(out[1])}
    assert set(scores) == {(m, s) for m in ("mae", "pearson_r") for s in (-1, 0, 1, 2)}
    cases = read_cases(out[0])
    assert scores["mae", 1]["value"] == pytest.approx(np.abs(cases.prediction[1] - cases.label).mean())
    assert scores["mae", -1]["value"] == pytest.approx(np.mean([scores["mae", s]["value"] for s in range(3)]))
    for row in scores.values():
        assert row["ci_low"] <= row["value"] <= row["ci_high"]
        assert row["n"] == 12


def test_twice_the_same_bytes(tmp_path):
    truth = world.labels(tmp_path, "classification", 8, np.random.default_rng(0))
    predictions = [world.predict(tmp_path, "classification", truth, 0.5, np.random.default_rng(1))]
    hashes = []
    for name in "ab":
        out = tmp_path / name / "cases.tsv", tmp_path / name / "scores.parquet"
        evaluate(job("classification", (0,)), truth, predictions, *out)
        hashes.append([sha256(p) for p in out])
    assert hashes[0] == hashes[1]


def test_one_class_is_undefined_not_one_half(tmp_path):
    truth = world.labels(tmp_path, "classification", 1, np.random.default_rng(0))
    predictions = [world.predict(tmp_path, "classification", truth, 0.5, np.random.default_rng(1))]
    evaluate(job("classification", (0,)), truth, predictions, tmp_path / "c.tsv", tmp_path / "s.parquet")
    assert all(r["value"] is r["ci_low"] is None for r in read_scores(tmp_path / "s.parquet"))


def test_seeds_and_tables_must_match(tmp_path):
    truth = world.labels(tmp_path, "classification", 2, np.random.default_rng(0))
    predictions = [world.predict(tmp_path, "classification", truth, 0.5, np.random.default_rng(1))]
    with pytest.raises(CairnError, match="one table a seed"):
        evaluate(job("classification", (0, 1)), truth, predictions, tmp_path / "c", tmp_path / "s")
