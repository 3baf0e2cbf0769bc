"""Guards the metrics of survival, findings and registration, accuracy and R²: as libraries or plain code have them."""

import itertools
import sys
import time
import types

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score

from cairn.config.evaluate import EvaluateConfig, EvaluateJob
from cairn.errors import CairnError
from cairn.evaluate.cases import score_cases
from cairn.evaluate.intervals import score_interval
from cairn.evaluate.metrics import concordance, r2
from cairn.evaluate.metrics.survival import concordance_resampled, disjoint_pairs
from cairn.evaluate.permutation import paired_p_values
from cairn.evaluate.resampling import metric_values, resample_counts
from cairn.evaluate.scores import evaluate
from cairn.evaluate.tables import RunCases, read_cases, read_scores
from cairn.io.atomic import sha256, write_text
from cairn.io.tables import PREDICTION_COLUMNS, write_table

CONFIG = EvaluateConfig(resamples=100, permutations=50)


def harrell(times, events, risks):
    """Pair by pair."""
    won = total = 0.0
    for i, j in itertools.permutations(range(len(times)), 2):
        if events[i] and (times[i] < times[j] or (times[i] == times[j] and not events[j])):
            total += 1
            won += 1.0 if risks[i] > risks[j] else 0.5 if risks[i] == risks[j] else 0.0
    return won / total if total else None


def censored(rng, n=14):
    """Times, events and risks with ties in each."""
    return rng.integers(1, 7, n).astype(float), rng.integers(0, 2, n), np.round(rng.normal(size=n), 1)


def survived(times, events, risks, subjects=None):
    risks = np.atleast_2d(risks).astype(float)
    blank, names = np.full(risks.shape, np.nan), subjects or [f"{i:03d}" for i in range(len(times))]
    keys = tuple((s, f"{i}") for i, s in enumerate(names))
    parts = {"event": np.tile(np.asarray(events, float), (len(risks), 1))}
    return RunCases("test", tuple(range(len(risks))), keys, np.asarray(times, float), risks, blank, blank, (), parts)


def found(truth, scores_SNK):
    """Cases of findings ``a``, ``b``, … from truth ``[n, K]`` and probabilities ``[seeds, n, K]``."""
    scores = np.asarray(scores_SNK, float)
    blank = np.full(scores.shape[:2], np.nan)
    keys = tuple((f"{i:03d}", "1") for i in range(len(truth)))
    names = "abc"[: np.shape(truth)[1]]
    parts = {f"p_{k}": scores[:, :, i] for i, k in enumerate(names)}
    parts |= {f"y_{k}": np.tile(np.asarray(truth, float)[:, i], (len(scores), 1)) for i, k in enumerate(names)}
    return RunCases(
        "test", tuple(range(len(scores))), keys, np.full(len(truth), np.nan), blank, blank, blank, (), parts
    )


def test_concordance_is_harrells_with_ties_and_censoring():
    rng = np.random.default_rng(0)
    for _ in range(200):
        times, events, risks = censored(rng)
        assert concordance(times, events, risks) == harrell(times, events, risks)
    assert concordance([1.0, 2.0], [0, 1], [3.0, 1.0]) is None  # the first was lost before the second failed
    assert concordance([1.0, 1.0], [1, 0], [3.0, 1.0]) == 1.0  # at one time, the censored case outlived the other
    assert concordance([1.0, 1.0], [1, 1], [3.0, 1.0]) is None
    assert concordance([], [], []) is None


def test_concordance_of_resamples_is_that_of_the_drawn_cases_and_fast():
    rng = np.random.default_rng(1)
    times, events, risks = censored(rng)
    counts = np.stack([np.bincount(rng.integers(0, 14, 14), minlength=14) for _ in range(60)])
    for row, value in zip(counts, concordance_resampled(times, events, risks, counts), strict=True):
        again = np.repeat(np.arange(14), row)
        expected = harrell(times[again], events[again], risks[again])
        assert (expected is None and np.isnan(value)) or value == expected
    many = resample_counts([f"{i}" for i in range(200)], 10_000, "t", "c", 1)
    began = time.process_time()
    concordance_resampled(rng.exponential(size=200), rng.integers(0, 2, 200), rng.normal(size=200), many)
    assert time.process_time() - began < 5


def test_a_case_without_a_risk_loses_every_pair():
    times, events = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1, 1, 1, 0])
    assert concordance(times, events, [4, np.nan, 2, 1]) == pytest.approx(3 / 6)  # three of six pairs are its own
    assert concordance(times, events, [np.nan] * 4) == 0.0


@pytest.mark.parametrize("gap", [0, 2])
def test_p_of_concordance_equals_the_naive_exchange(gap):
    rng = np.random.default_rng(5)
    times, events, a = censored(rng, 8)
    b = np.round(rng.normal(size=(2, 8)), 1)
    if gap:
        a[gap] = np.nan
    ranks = [rankdata(v, axis=1, nan_policy="omit") for v in (a[None], b)]
    differences = []
    for signs in itertools.product((True, False), repeat=8):
        stay, sides = np.array(signs), []
        for x, y in itertools.product(*ranks):
            sides.append(harrell(times, events, np.where(stay, x, y)) - harrell(times, events, np.where(stay, y, x)))
        differences.append(np.mean(sides))
    expected = np.mean(np.abs(differences) >= abs(differences[0]) - 1e-9)
    runs = [survived(times, events, a), survived(times, events, b)]
    assert paired_p_values("concordance", runs, [(0, 1)], 1000, ("k",), np.inf) == [pytest.approx(expected)]


def test_p_of_r2_is_that_of_the_squared_error():
    rng = np.random.default_rng(6)
    label = rng.normal(60, 10, 9)
    a, b = label + rng.normal(0, 3, 9), label + rng.normal(0, 6, 9)
    differences = []
    for signs in itertools.product((True, False), repeat=9):
        stay = np.array(signs)
        differences.append(r2_score(label, np.where(stay, a, b)) - r2_score(label, np.where(stay, b, a)))
    expected = np.mean(np.abs(differences) >= abs(differences[0]) - 1e-9)
    keys, blank = tuple((f"{i}", "1") for i in range(9)), np.full((1, 9), np.nan)
    runs = [RunCases("test", (0,), keys, label, v[None], blank, blank, ()) for v in (a, b)]
    assert paired_p_values("r2", runs, [(0, 1)], 1000, ("k",), np.inf) == [pytest.approx(expected)]


def test_r2_and_accuracy_are_scikit_learns():
    rng = np.random.default_rng(2)
    counts = resample_counts([f"{i}" for i in range(30)], 20, "t", "c", 1)
    for _ in range(20):
        label = rng.normal(60, 10, 30)
        said = label + rng.normal(0, 8, 30)
        assert r2(label, said) == pytest.approx(r2_score(label, said))
        keys, blank = tuple((f"{i}", "1") for i in range(30)), np.full((1, 30), np.nan)
        cases = RunCases("test", (0,), keys, label, said[None], blank, blank, ())
        for row, value in zip(counts, metric_values("r2", cases, counts, np.inf)[0], strict=True):
            again = np.repeat(np.arange(30), row)
            assert value == pytest.approx(r2_score(label[again], said[again]))
        classes, told = rng.integers(0, 4, (2, 30)).astype(float)
        cases = RunCases("test", (0,), keys, classes, told[None], blank, blank, ())
        value = metric_values("accuracy", cases, np.ones((1, 30), int), np.inf)
        assert value == pytest.approx(accuracy_score(classes, told))
    assert r2([5.0, 5.0], [4.0, 5.0]) is None
    assert r2([0.0, 10.0], [1000.0, 10.0], cap=10.0) == -1.0


def test_findings_are_the_mean_of_the_areas_that_are_defined():
    rng = np.random.default_rng(3)
    truth, scores = rng.integers(0, 2, (25, 3)), rng.random((2, 25, 3)).round(1)
    truth[:, 2] = 0  # nobody has it
    cases = found(truth, scores)
    expected = [np.mean([roc_auc_score(truth[:, k], row[:, k]) for k in (0, 1)]) for row in scores]
    once = np.ones((1, 25), int)
    assert metric_values("auroc_mean", cases, once, np.inf)[:, 0] == pytest.approx(expected)
    one = metric_values("auroc_mean_b", cases, once, np.inf)[:, 0]
    assert one == pytest.approx([roc_auc_score(truth[:, 1], row[:, 1]) for row in scores])
    assert np.isnan(metric_values("auroc_mean_c", cases, once, np.inf)).all()
    assert np.isnan(metric_values("auroc_mean", found(np.zeros((4, 2)), np.zeros((1, 4, 2))), once[:, :4], 0)).all()
    same = paired_p_values("auroc_mean", [cases, cases], [(0, 1)], 200, ("k",), np.inf)
    assert same == [1.0]


def test_a_perfect_score_is_no_certainty():
    times, events = np.arange(1.0, 11.0), np.ones(10)
    assert disjoint_pairs(times, events) == 5
    assert disjoint_pairs(times, [1] + [0] * 9) == 1
    assert disjoint_pairs(times, [0] * 10) == 0
    perfect = survived(times, events, -times)
    assert score_interval("concordance", 1.0, np.ones(9), perfect, 0.95) == (pytest.approx(0.025 ** (1 / 5)), 1.0)
    truth = np.array([[0, 0], [0, 1], [1, 1], [1, 1]])
    low, high = score_interval("auroc_mean", 1.0, np.ones(9), found(truth, truth[None]), 0.95)
    assert (low, high) == (pytest.approx(0.025), 1.0)  # one case without the second finding


@pytest.mark.parametrize(("apart", "censor"), [(0.5, 0.3), (1.0, 1.0)])
def test_intervals_of_concordance_cover_the_truth(apart, censor):
    """A known hazard: the truth is the concordance of a very large sample."""
    rng = np.random.default_rng(7)

    def draw(n):
        risk = rng.normal(size=n)
        fails, leaves = rng.exponential(np.exp(-apart * risk)), rng.exponential(1 / censor, n)
        return np.minimum(fails, leaves), (fails <= leaves).astype(int), risk

    truth = np.mean([concordance(*draw(1500)) for _ in range(12)])
    counts, hits = resample_counts([f"{i}" for i in range(60)], 200, "t", "c", 1), 0
    for _ in range(300):
        cases = survived(*draw(60))
        value = metric_values("concordance", cases, np.ones((1, 60), int), np.inf)[0, 0]
        low, high = score_interval(
            "concordance", value, metric_values("concordance", cases, counts, np.inf)[0], cases, 0.95
        )
        hits += low <= truth <= high
    assert 0.915 <= hits / 300 <= 0.985


def table(path, rows, columns):
    write_table(path, rows, columns)
    return path


def predictions(folder, values, **more):
    rows = [{"subject": f"{i}", "session": "1", "value": v, "status": "ok", **more} for i, v in enumerate(values)]
    return table(folder / "predictions.tsv", rows, PREDICTION_COLUMNS)


def scored(tmp_path, kind, truth, told, classes=()):
    task = {"name": "t", "kind": kind, "classes": classes}
    job = EvaluateJob(run="r", task=task, seeds=(0,), evaluate=CONFIG.for_kind(kind))
    cases, scores = tmp_path / "cases.tsv", tmp_path / "scores.parquet"
    facts = evaluate(job, truth, [told], cases, scores)
    return facts, read_cases(cases), {r["metric"]: r["value"] for r in read_scores(scores) if r["seed"] == -1}


def test_survival_is_scored_from_files_and_invalid_risks_are_the_worst(tmp_path):
    rows = [
        {"subject": f"{i}", "session": "1", "time": t, "event": e} for i, (t, e) in enumerate([(1, 1), (2, 1), (5, 0)])
    ]
    truth = table(tmp_path / "targets.tsv", rows, ("subject", "session", "time", "event"))
    facts, cases, values = scored(tmp_path, "survival", truth, predictions(tmp_path, ["2.5", "-7", "-9.5"]))
    assert (facts["invalid_predictions"], values) == ([], {"concordance": 1.0})
    assert cases.events.tolist() == [1, 1, 0]
    assert cases.truth.tolist() == [[1, 2, 5], [1, 1, 0]]
    facts, cases, values = scored(tmp_path, "survival", truth, predictions(tmp_path, ["2.5", "inf", "-9.5"]))
    assert (facts["invalid_predictions"], values) == (
        ["seed 0: 1/1: not-finite"],
        {"concordance": pytest.approx(1 / 3)},
    )
    assert np.isnan(cases.prediction[0, 1])


def test_findings_are_scored_from_files_with_each_beside(tmp_path):
    rows = [{"subject": f"{i}", "session": "1", "bleed": i % 2, "tumour": int(i > 1)} for i in range(4)]
    truth = table(tmp_path / "targets.tsv", rows, ("subject", "session", "bleed", "tumour"))
    told = predictions(tmp_path, ["0.1 0.2", "0.9 0.3", "0.2 0.9", "0.8 0.25"])
    _, _, values = scored(tmp_path, "findings", truth, told, ("bleed", "tumour"))
    assert values == {"auroc_mean": 0.875, "auroc_mean_bleed": 1.0, "auroc_mean_tumour": 0.75}
    told = predictions(tmp_path, ["0.1 0.2", "0.9 1.3", "0.2", "0.8 0.9"])
    facts, cases, _ = scored(tmp_path, "findings", truth, told, ("bleed", "tumour"))
    assert facts["invalid_predictions"] == ["seed 0: 1/1: out-of-range", "seed 0: 2/1: wrong-length"]
    assert [cases.parts["p_bleed"][0, 1], cases.parts["p_tumour"][0, 1]] == [0.0, 1.0]  # the opposite of the truth


def test_registration_is_the_dice_after_the_predicted_warp(tmp_path, monkeypatch):
    def registration_dice(maps, field):
        return [1.0, 0.5] if "good" in field.read_text() else [0.0, 0.1]

    fake = types.ModuleType("cairn.bench.registration")
    fake.registration_dice = registration_dice
    monkeypatch.setitem(sys.modules, "cairn.bench", types.ModuleType("cairn.bench"))
    monkeypatch.setitem(sys.modules, "cairn.bench.registration", fake)
    for name, text in (("maps", "maps"), ("a", "good"), ("b", "bad"), ("c", "good")):
        write_text(tmp_path / name, text)
    rows = [{"subject": f"{i}", "session": "1", "mask": "maps"} for i in range(4)]
    truth = table(tmp_path / "targets.tsv", rows, ("subject", "session", "mask"))
    told = [
        {"subject": f"{i}", "session": "1", "status": "ok", "mask": name, "mask_sha256": sha256(tmp_path / name)}
        for i, name in enumerate("abc")
    ]
    told[2]["mask_sha256"] = "0" * 64
    said = table(tmp_path / "predictions.tsv", told, PREDICTION_COLUMNS)
    facts, cases, values = scored(tmp_path, "registration", truth, said, ("ventricle", "thalamus"))
    assert cases.dice.tolist() == [[0.75, 0.05, 0.0, 0.0]]
    assert facts["invalid_predictions"] == ["seed 0: 2/1: mask-altered", "seed 0: 3/1: missing"]
    assert values == {"dice": 0.2, "dice_ventricle": 0.25, "dice_thalamus": pytest.approx(0.15)}


@pytest.mark.parametrize(
    ("kind", "row", "said"),
    [("survival", {"time": -1, "event": 1}, "'-1' is no time"),
     ("survival", {"time": 3, "event": 2}, "neither 0 nor 1"),
     ("survival", {"time": 3}, "lacks the column"), ("findings", {"bleed": "n/a"}, "bleed 'n/a' is neither"),
     ("registration", {"mask": "gone"}, "no label maps 'gone'")],
)  # fmt: skip
def test_targets_that_no_task_can_use_are_refused(tmp_path, kind, row, said):
    truth = table(tmp_path / "targets.tsv", [{"subject": "0", "session": "1", **row}], ("subject", "session", *row))
    with pytest.raises(CairnError, match=said):
        score_cases(truth, predictions(tmp_path, ["0.5"]), kind, CONFIG, ("bleed",))


def test_a_case_named_twice_is_refused(tmp_path):
    rows = [{"subject": "0", "session": "1", "time": 1, "event": 1}] * 2
    truth = table(tmp_path / "targets.tsv", rows, ("subject", "session", "time", "event"))
    with pytest.raises(CairnError, match="stands twice"):
        score_cases(truth, predictions(tmp_path, ["0.5"]), "survival", CONFIG)


def test_an_age_needs_no_columns_for_masks(tmp_path):
    truth = table(
        tmp_path / "targets.tsv", [{"subject": "0", "session": "1", "value": 50}], ("subject", "session", "value")
    )
    (case,) = score_cases(truth, predictions(tmp_path, ["48"]), "regression", CONFIG)
    assert (case.label, case.prediction, case.status) == (50, 48, "ok")
