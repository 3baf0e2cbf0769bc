"""Guards every rule: run again alone on the finished experiment, it makes the same bytes.

Each case deletes a rule's outputs and asks for one of them, with that rule alone allowed to run. The result must
equal the old one: the stage is deterministic, depends on nothing undeclared, and its command line works.
"""

from pathlib import Path

import pytest

from cairn.io.atomic import sha256
from cairn.io.tables import (
    INDEX_COLUMNS,
    LABEL_COLUMNS,
    PREDICTION_COLUMNS,
    QUARANTINE_COLUMNS,
    SHARD_COLUMNS,
)

CI = ("--configfile", "config/ci.yaml")
R = Path("results/ci")

# rule, files to delete and make again, header of the first where it is a table
CASES = [
    pytest.param("build_donor", ["donors/oasis.safetensors"], None, marks=pytest.mark.slow),
    ("cohort_shard", ["raw/age_few/index/0000.tsv", "truth/age_few/labels/0000.tsv"], INDEX_COLUMNS),
    ("manifest", ["raw/age_few/manifest.parquet"], None),
    ("labels", ["truth/meningioma_few/labels.tsv"], (*LABEL_COLUMNS, "mask_sha256")),
    ("leakage", ["leakage/leakage.json"], None),
    ("preprocess_shard", ["preprocess/age_few/0000.index.tsv", "preprocess/age_few/0000.safetensors"], SHARD_COLUMNS),
    pytest.param(
        "preprocess_shard", ["preprocess/age_few/0000.quarantine.tsv"], QUARANTINE_COLUMNS, marks=pytest.mark.slow
    ),
    ("accept_dataset", ["preprocess/age_few/accepted.json"], None),
    ("qc", ["qc/sessions.tsv", "qc/truth.json"], None),
    ("pretrain_encoder", ["pretrain/mae/seed-0/encoder.safetensors"], None),
    ("finetune_model", ["finetune/mae/infarct/seed-0/model.safetensors"], None),
    ("finetune_model", ["finetune/classical/meningioma/seed-0/model.safetensors"], None),
    ("predict_test", ["predict/scratch_ood/meningioma/seed-0/predictions.tsv"], PREDICTION_COLUMNS),
    ("evaluate_run", ["evaluate/mae/age/cases.tsv", "evaluate/mae/age/scores.parquet"], None),
    ("tracks", ["leaderboard/tracks.json"], None),
    ("findings", ["leaderboard/findings.json"], None),
    (
        "leaderboard",
        [f"leaderboard/{name}" for name in ("leaderboard.csv", "leaderboard.json", "stability.json")],
        None,
    ),
]


@pytest.mark.parametrize(("rule", "outputs", "columns"), CASES, ids=lambda v: v if isinstance(v, str) else "")
def test_rule_makes_the_same_again(finished, rule, outputs, columns):
    paths = [finished.root / R / name for name in outputs]
    before = [sha256(p) for p in paths]
    for path in paths:
        path.unlink()
    state = finished.root / R / ".state"
    if state.exists():
        state.rename(state.with_name(f".state-{len(list(state.parent.iterdir()))}"))  # no head start
    finished.snakemake(str(R / outputs[0]), *CI, "--allowed-rules", rule, "--nolock")
    assert [sha256(p) for p in paths] == before
    if columns:
        assert tuple(paths[0].read_text().splitlines()[0].split("\t")) == columns


@pytest.mark.parametrize(("rule", "name"), [("report", "index"), ("findings_page", "findings")])
def test_a_page_is_made_again_by_its_rule(finished, rule, name):
    """Not to the same bytes: pages show what the jobs cost."""
    page = finished.root / R / f"report/{name}.html"
    page.unlink()
    finished.snakemake(str(R / f"report/{name}.html"), *CI, "--allowed-rules", rule, "--nolock")
    assert "<html" in page.read_text(encoding="utf-8")[:500].lower()


def test_the_tree_is_finished_again(finished):
    """After the reruns above nothing is left to do: equal content reruns nothing downstream."""
    assert "Nothing to be done" in finished.plan(*CI)
