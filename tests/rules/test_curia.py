"""Guards the benchmark of frozen encoders as the rules run it: CT and MRI, items, features, heads, tracks, the page."""

import json
import re
from pathlib import PurePosixPath

import pytest

from cairn.io.atomic import sha256
from cairn.io.tables import PREDICTION_COLUMNS, read_table

CI = ("--configfile", "config/curia.yaml", "config/ci_curia.yaml")
R = "results/ci_curia"
TASKS_2D = {
    "structures_ct", "structures_mri", "structures_ct_to_mri", "haemorrhage", "stroke", "tumour_site", "tumour_grade",
}  # fmt: skip
TASKS_3D = {"brain_age", "findings", "survival", "registration"}
AGAIN = {
    "make_items": "finetune/_items/radiology_test/finding_haemorrhage_ct/items.parquet",
    "item_targets": "finetune/_items/radiology_test/registration.tsv",
    "embed_items": "finetune/_features/curia2/seed-0/radiology_test.safetensors",
    "fit_head": "finetune/curia/structures_ct/seed-0/model.safetensors",
    "predict_head": "predict/curia_3d/registration/seed-0/predictions.tsv",
    "few_shot": "predict/curia/haemorrhage/few_shot.tsv",
    "few_shot_curve": "evaluate/curia/haemorrhage/few_shot.tsv",
    "absent_tasks": "report/absent.json",
}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def curia(new_checkout, tmp_path_factory):
    checkout = new_checkout(tmp_path_factory.mktemp("curia"))
    checkout.snakemake(*CI)
    return checkout


def cards(checkout, stage):
    found = [json.loads(path.read_text()) for path in (checkout.root / R).rglob("*run.json")]
    return [card for card in found if card["stage"] == stage]


def test_each_track_ranks_its_own_tasks(curia):
    board = json.loads((curia.root / R / "leaderboard/leaderboard.json").read_text())
    tracks = {}
    for row in board["rows"]:
        tracks.setdefault(row["track"], []).append(row)
    for track, tasks in {"curia_2d": TASKS_2D, "curia_3d": TASKS_3D, "method": {"brain_age_finetuned"}}.items():
        for row in tracks[track]:
            assert set(row["scores"]) == set(row["ranks"]) == tasks
            assert all(task["invalid"] == 0 for task in row["scores"].values())
    page = (curia.root / R / "report/index.html").read_text()
    sections = [f'id="track-{name}"' for name in ("curia_2d", "curia_3d", "method", "open")]
    for shown in (*sections, 'id="few-shot"', "Abdominal trauma"):
        assert shown in page


def test_what_predicts_sees_no_target(curia):
    """Targets and truths of test items are read by `item_targets` and evaluation alone."""
    secret = {"truth.json", *(f"{task}.tsv" for task in TASKS_2D | TASKS_3D)}
    readers = set()
    for path in (curia.root / R).rglob("*run.json"):
        card = json.loads(path.read_text())
        for read in map(PurePosixPath, card["inputs"]):
            if "radiology_test" in read.parts and read.name in secret:
                readers.add(card["stage"])
    assert readers == {"item_targets", "evaluate_run", "few_shot_curve"}


def test_items_are_embedded_once_whatever_the_tasks(curia):
    made = [(card["config"]["run"], tuple(card["inputs"])) for card in cards(curia, "embed_items")]
    assert len(made) == len(set(made)) == 8  # two data sets by four encoders, for both tracks
    heads = cards(curia, "fit_head")
    assert len(heads) == 4 * len(TASKS_2D) + 3 * len(TASKS_3D)


def test_registration_is_scored_by_the_field_that_was_predicted(curia):
    folder = curia.root / R / "predict/curia_3d/registration/seed-0"
    rows = read_table(folder / "predictions.tsv", PREDICTION_COLUMNS)
    assert len(rows) == 20
    assert all(sha256(folder / row["mask"]) == row["mask_sha256"] for row in rows)


def test_the_tree_is_finished(curia):
    assert "Nothing to be done" in curia.plan(*CI)


@pytest.mark.parametrize(("rule", "name"), AGAIN.items(), ids=list(AGAIN))
def test_rule_makes_the_same_again(curia, rule, name):
    path = curia.root / R / name
    before = sha256(path)
    path.unlink()
    curia.snakemake(f"{R}/{name}", *CI, "--allowed-rules", rule, "--nolock")
    assert sha256(path) == before


def test_equal_content_reruns_nothing_downstream(curia):
    """But what reads the cards of what ran again: whom runs learned from, and what they cost."""
    planned = set(re.findall(r"^(\w+) +\d+$", curia.plan(*CI), re.MULTILINE))
    assert planned <= {"tracks", "report", "findings_page", "all", "total"}
