"""Guards what stands beside the ranks: tables of single classes and of groups, a probe's picture, links to chains."""

import numpy as np
import pytest
import world

from cairn.config.evaluate import EvaluateConfig, EvaluateJob, FairnessConfig, LeaderboardJob, ReportJob
from cairn.evaluate.leaderboard import leaderboard
from cairn.evaluate.scores import evaluate
from cairn.io.nifti import write_scan
from cairn.io.tables import LABEL_COLUMNS, PEOPLE_COLUMNS, write_table
from cairn.report.groups import beside, tables
from cairn.report.page import render
from cairn.report.plots import confusion
from cairn.report.sources import read_sources

N = 24
RUNS = world.RUNS[:2]
CONFIG = EvaluateConfig(resamples=50, permutations=50, fairness=FairnessConfig(enabled=True, min_cases=4))
TASKS = {
    "nerves": {"name": "nerves", "kind": "segmentation", "title": "Nerves", "classes": ["nerve", "vessel"]},
    "decade": {"name": "decade", "kind": "probe", "title": "Decade", "classes": ["young", "middle", "old"]},
}


def masks(folder, rng, shift):
    """Two balls a case, labelled 1 and 2, moved by up to ``shift`` voxels; a table of labels or predictions."""
    rows = []
    for i in range(N):
        one, two = (np.roll(world.ball((x, 24, 24), 7), int(rng.integers(0, shift + 1)), 1) for x in (14, 34))
        label = np.where(two, 2, np.where(one, 1, 0)).astype(np.uint8)
        row = world.mask_row(folder, f"{i:04d}", np.zeros(world.SHAPE))
        write_scan(folder / row["mask"], label, world.AFFINE)
        rows.append({"subject": f"{i:04d}", "session": "1", "mask": row["mask"], "mask_sequence": "T2w"})
    return rows


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    from cairn.io.atomic import sha256

    root = tmp_path_factory.mktemp("groups")
    rng = np.random.default_rng(0)
    people = [{"subject": f"{i:04d}", "session": "1", "age": 25 + 2.5 * i, "sex": "FM"[i % 2]} for i in range(N)]
    write_table(root / "people.tsv", people, PEOPLE_COLUMNS)
    (root / "truth").mkdir()
    write_table(root / "truth/nerves.tsv", masks(root / "truth", rng, 0), LABEL_COLUMNS)
    classes = [{"subject": f"{i:04d}", "session": "1", "value": i % 3} for i in range(N)]
    write_table(root / "truth/decade.tsv", classes, LABEL_COLUMNS)
    cases, scores = [], []
    for name, task in TASKS.items():
        for number, run in enumerate(RUNS):
            folder = root / "predict" / run.run / name / "seed-0"
            if name == "nerves":
                rows = [
                    r | {"status": "ok", "mask_sha256": sha256(folder / r["mask"])}
                    for r in masks(folder, rng, 1 + number)
                ]
            else:
                scored = [rng.dirichlet(1 + 4 * np.eye(3)[i % 3]) for i in range(N)]
                rows = [
                    {"subject": f"{i:04d}", "session": "1", "status": "ok", "value": " ".join(map(repr, map(float, p)))}
                    for i, p in enumerate(scored)
                ]
            table = world.write_predictions(folder, rows)
            out = root / "evaluate" / run.run / name
            job = EvaluateJob(run=run.run, task=task, seeds=(0,), cohort=name, evaluate=CONFIG)
            who = root / "people.tsv"
            evaluate(job, root / f"truth/{name}.tsv", [table], out / "cases.tsv", out / "scores.parquet", who)
            cases.append(out / "cases.tsv")
            scores.append(out / "scores.parquet")
    board = root / "leaderboard" / "leaderboard.json"
    ranked = LeaderboardJob(experiment="toy", runs=RUNS, tasks=TASKS, evaluate=CONFIG)
    leaderboard(ranked, cases, scores, board.with_suffix(".csv"), board, board.with_name("stability.json"))
    return read_sources(ReportJob(runs=RUNS, tasks=TASKS, seeds=(0,)), board, {"cases": cases})


def test_classes_and_groups_have_tables_that_say_what_they_rest_on(sources):
    nerves, decade = sources.tasks
    found = tables(sources, nerves)
    assert [t["title"] for t in found] == ["Dice", "NSD", "Dice", "NSD"]
    assert [words for words, _ in found[0]["columns"]] == ["nerve", "vessel"]
    groups = dict(found[2]["columns"])
    assert groups["sex F"] == groups["sex M"] == "12 cases"
    assert {"gap sex", "gap age", "fairness"} < set(groups)
    assert "fewer than 4" in found[2]["note"]
    assert [line["label"] for line in found[0]["lines"]] == [r["label"] for r in sources.rows]
    assert [t["title"] for t in tables(sources, decade)] == ["AUROC (OvR)", "F1 (macro)"]


def test_the_mean_over_classes_is_the_leaderboards_number(sources):
    for row in sources.rows:
        score = row["scores"]["nerves"]
        for metric in ("dice", "nsd"):
            parts = [v["value"] for v in score["classes"][metric].values()]
            assert np.mean(parts) == pytest.approx(score["metrics"][metric]["value"], abs=1e-5)


def test_every_such_number_stands_on_the_page(sources):
    page = render(sources)
    found = list(beside(sources))
    assert len({name for _, _, _, name, _ in found}) > 10
    for _, _, metric, _, value in found:
        if value["value"] is not None:
            assert f"{value['value']:.{metric['decimals']}f}" in page
    assert "by class or group" in page
    assert "Confusion matrix" in page
    assert "Of a linear probe" in page


def test_confusion_is_the_share_of_the_true_class(sources):
    cases = sources.cases["mae", "decade"]
    share = confusion(cases)
    np.testing.assert_allclose(share.sum(axis=1), 1)
    said = cases.prediction[0][cases.label == 1]
    assert share[1, 1] == pytest.approx((said == 1).mean())
