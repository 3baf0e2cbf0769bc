"""Guards FOMO26's tasks as the rules run them: several classes, a probe, fairness, from raw heads to the page."""

import json

import pytest

from cairn.io.tables import PEOPLE_COLUMNS, read_table

CI = ("--configfile", "config/ci_fomo26.yaml")
R = "results/ci_fomo26"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study(new_checkout, tmp_path_factory):
    checkout = new_checkout(tmp_path_factory.mktemp("fomo26"))
    checkout.snakemake(*CI)
    return checkout


def test_every_run_is_scored_on_every_task_by_class_and_group(study):
    board = json.loads((study.root / R / "leaderboard/leaderboard.json").read_text())
    assert {t["name"] for t in board["tasks"]} == {"neurovascular", "malformation", "age_group"}
    for row in board["rows"]:
        scores = row["scores"]
        assert set(scores["neurovascular"]["classes"]["dice"]) == {"nerve", "vessel"}
        assert set(scores["age_group"]["metrics"]) == {"auroc_ovr", "f1_macro"}
        for task in scores.values():
            for groups in task["fairness"].values():
                assert {"sex=F", "sex=M", "gap:sex", "gap:age", "fairness"} & set(groups)
            assert task["invalid"] == 0
    page = (study.root / R / "report/index.html").read_text()
    assert "by class or group" in page


def test_a_probe_keeps_its_embeddings_and_the_card_names_them(study):
    folder = study.root / R / "predict/mae/age_group/seed-0"
    card = json.loads((folder / "run.json").read_text())
    assert (folder / "embeddings.parquet").is_file()
    assert f"{R}/predict/mae/age_group/seed-0/embeddings.parquet" in card["outputs"]


def test_people_are_seen_by_evaluation_alone(study):
    assert read_table(study.root / R / "truth/population_test/people.tsv", PEOPLE_COLUMNS)
    readers = set()
    for card in (study.root / R).rglob("*run.json"):
        found = json.loads(card.read_text())
        if any(p.endswith("people.tsv") for p in found["inputs"]):
            readers.add(found["stage"])
    assert readers == {"evaluate_run"}


def test_the_tree_is_finished(study):
    assert "Nothing to be done" in study.plan(*CI)
