"""Guards the sentences: what is claimed follows from the verdicts, and no winner is named without reason."""

import pytest

from cairn.config.evaluate import DEFAULT_METRICS, ReportJob
from cairn.provenance.chain import duration
from cairn.report.cost import stages
from cairn.report.plots import FPR, roc_curve
from cairn.report.sources import Sources
from cairn.report.words import effects, listed, number, p_value, span, standing

TASKS = [
    {"name": "t1", "kind": "classification", "title": "Infarct", "cases": 28, "metrics": [DEFAULT_METRICS["classification"][0].model_dump()]},  # noqa: E501
    {"name": "t3", "kind": "regression", "title": "Age", "cases": 24, "metrics": [DEFAULT_METRICS["regression"][0].model_dump()]},  # noqa: E501
]  # fmt: skip


def sources(verdicts=("unclear", "unclear"), **separable) -> Sources:
    scores = {
        t["name"]: {"metrics": {t["metrics"][0]["name"]: {"value": 0.5}}, "invalid": 0, "predictions": 3} for t in TASKS
    }
    rows = [
        {"run": r, "label": r.upper(), "track": "m", "place": i, "overall": {"value": 1.0}, "scores": scores}
        for i, r in enumerate("ab", start=1)
    ]
    effect = [
        {"task": t["name"], "metric": t["metrics"][0]["name"], "a": "a", "b": "b", "difference": 0.1, "low": -0.1,
         "high": 0.3, "p": 0.2, "p_holm": 0.4, "seed_wins": 0.5, "verdict": v}
        for t, v in zip(TASKS, verdicts, strict=True)
    ]  # fmt: skip
    said = {"winner": None, "together": ["a", "b"], "enough_seeds": True} | separable
    board = {
        "rows": rows, "tasks": TASKS, "pretraining": effect, "separable": {"m": said},
        "evaluate": {"confidence": 0.95},
    }  # fmt: skip
    return Sources(ReportJob(), board)


@pytest.mark.parametrize(
    ("verdicts", "headline"),
    [
        (("unclear", "unclear"), "It cannot be told at this size."),
        (("helped", "unclear"), "Pretraining helped on Infarct; elsewhere it cannot be told at this size."),
        (("helped", "helped"), "Pretraining helped on Infarct and Age."),
        (("helped", "hurt"), "Pretraining helped on Infarct and hurt on Age."),
        (("hurt", "unclear"), "Pretraining hurt on Infarct; elsewhere it cannot be told at this size."),
    ],
)
def test_the_headline_claims_what_the_verdicts_say_and_no_more(verdicts, headline):
    (effect,) = effects(sources(verdicts))
    assert effect.headline == headline


def test_what_cannot_be_told_comes_with_the_width_of_the_interval():
    (effect,) = effects(sources())
    assert "±0.200 AUROC (28 cases)" in " ".join(effect.sentences)
    assert "±0.200 years MAE (24 cases)" in " ".join(effect.sentences)


def test_of_many_metrics_the_sentences_do_not_repeat_the_table():
    asked = sources()
    board = {**asked.board, "pretraining": asked.board["pretraining"] * 5}
    (effect,) = effects(Sources(ReportJob(), board))
    assert len(effect.lines) == 10
    assert effect.sentences == [
        "No difference can be told from chance in any of the 10 metrics below.",
        "Effects smaller than half of a 95% interval below cannot be seen.",
    ]


def test_a_winner_is_named_only_when_the_leaderboard_names_one():
    assert standing(sources(winner="a", together=["a"]), "m").startswith("A ranks first")
    assert standing(sources(), "m").endswith("the permutation tests do not tell “A” from any other run.")
    several = sources()
    several.rows[1]["place"] = 1
    assert standing(several, "m") == "No winner is named: “A” and “B” share the first place."
    several.board["rows"] += [several.rows[0] | {"run": "c", "label": "C, again", "place": 3}]
    several.board["separable"]["m"]["together"] = ["a", "b", "c"]
    assert standing(several, "m").endswith(
        "place, and the permutation tests do not tell each of them from any other run."
    )
    several.board["rows"] += [several.rows[0] | {"run": "d", "label": "D", "place": 4}]
    assert standing(several, "m").endswith("tell each of them from “C, again”.")
    assert "fewer than three seeds" in standing(sources(together=["a"], enough_seeds=False), "m")


def test_one_seed_of_an_entry_is_explained():
    found = sources(together=["a"], enough_seeds=False)
    assert "sealed" not in standing(found, "m")
    row = {"run": "b", "label": "B", "method": "container", "track": "m", "image": "b.sif"}
    entered = Sources(ReportJob(runs=[row]), found.board)
    assert "A sealed image is one trained model" in standing(entered, "m")


def test_numbers_in_words():
    assert number(-0.0421, 3, sign=True) == "−0.042"
    assert number(None) == "undefined"
    assert span(0.1, None) == ""
    assert span(-1.0, 2.0, 1) == "−1.0 to 2.0"
    assert [p_value(p) for p in (None, 0.0001, 0.04)] == ["–", "< 0.001", "0.040"]
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert [duration(s) for s in (2.345, 42, 185, 7800)] == ["2.3 s", "42 s", "3 min 5 s", "2 h 10 min"]


def test_costs_sum_over_jobs_and_keep_the_largest_memory():
    cards = [{"stage": "a", "wall_s": 30, "peak_memory_mb": 512}, {"stage": "a", "wall_s": 40, "peak_memory_mb": 2048}]
    assert stages(cards)[0] == {
        "name": "a", "stage": "a", "jobs": "2", "total": "1 min 10 s", "longest": "40 s", "memory": "2.0 GB",
    }  # fmt: skip
    assert stages([]) == []


def test_roc_curve_integrates_to_the_auroc():
    import numpy as np

    from cairn.evaluate.cases import Case
    from cairn.evaluate.metrics import auroc
    from cairn.evaluate.tables import as_arrays

    rng = np.random.default_rng(0)
    labels, scores = np.arange(200) % 2, rng.normal(np.arange(200) % 2, 1.0)
    cases = as_arrays("t", {0: [Case(f"{i:03d}", "1", "ok", float(labels[i]), float(scores[i])) for i in range(200)]})
    (curve,) = roc_curve(cases, np.ones((1, 200), int))
    assert float(np.trapezoid(curve, FPR)) == pytest.approx(auroc(labels, scores), abs=0.01)
    assert len(roc_curve(cases, (labels[None] == 1).astype(int))) == 0
