"""Guards the chain: every job that a file rests on, in order, down to the raw files; altered and missing ones told."""

import json
from pathlib import Path

import pytest
from made_run import MODEL, PACKAGE, R, make_run

from cairn.errors import CairnError
from cairn.provenance import chain
from cairn.provenance.lineage import Lineage, card_files, read_lineage

SCORES, SCAN = f"{R}/evaluate/mae/age/scores.parquet", f"{R}/raw/age/sub-0001/anat/sub-0001_T1w.nii.gz"
ORDER = [
    "evaluate_run", "predict_test", "finetune_model", "pretrain_encoder", "preprocess_shard", "cohort_shard",
    "fetch_package",
]  # fmt: skip


@pytest.fixture
def labels(tmp_path, monkeypatch) -> str:
    """A finished experiment in the current folder; returns the path of its one file from outside."""
    outside = tmp_path / "elsewhere" / "labels.tsv"
    make_run(tmp_path / "repository", outside)
    monkeypatch.chdir(tmp_path / "repository")
    return outside.as_posix()


def lineage() -> Lineage:
    return read_lineage(Path(R))


def edit(card: str, **changes: object) -> None:
    path = Path(R, card)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_every_job_stands_before_those_that_it_reads_from(labels):
    steps = lineage().chain([SCORES])
    assert sorted(step.facts["stage"] for step in steps) == sorted(ORDER)
    position = {step.card: i for i, step in enumerate(steps)}
    for step in steps:
        assert all(position[s.card] > position[step.card] for s in step.sources if s.card)


def test_stages_go_from_the_number_to_the_raw_files(labels):
    found = lineage()
    groups = chain.by_stage(found, found.chain([SCORES]))
    assert [group.stage for group in groups] == ORDER


def test_a_job_that_the_file_does_not_rest_on_is_left_out(labels):
    steps = lineage().chain([f"{R}/pretrain/mae/seed-0/encoder.safetensors"])
    assert {step.facts["stage"] for step in steps} == {*ORDER[3:]}
    assert not any("other.whl" in step.card for step in lineage().chain([f"{R}/leaderboard/leaderboard.json"]))


def test_raw_files_are_what_no_job_made_the_packages_and_the_scans_of_the_cohort(labels):
    steps = lineage().chain([SCORES])
    found = chain.beginnings(steps)
    assert set(found) == {labels, PACKAGE, SCAN}
    cards = lineage().cards
    assert found[SCAN] == cards[f"{R}/raw/age/index/0000.run.json"]["outputs"][SCAN]


def test_brain_masks_of_the_cohort_are_no_source_of_a_number(labels):
    mask = f"{R}/truth/age/sub-0001/sub-0001_desc-brain_mask.nii.gz"
    lesion = f"{R}/truth/age/sub-0001/sub-0001_lesion.nii.gz"
    card = "raw/age/index/0000.run.json"
    edit(card, outputs=json.loads(Path(R, card).read_text())["outputs"] | {mask: "1" * 64, lesion: "2" * 64})
    assert set(chain.beginnings(lineage().chain([SCORES]))) == {labels, PACKAGE, SCAN, lesion}


def test_a_raw_file_belongs_to_the_job_nearest_to_the_raw_end(labels):
    found = lineage()
    steps = [step for group in chain.by_stage(found, found.chain([SCORES])) for step in group.steps]
    by_job = {chain.job_name(card): list(files) for card, files in chain.bringing(steps).items()}
    assert by_job == {
        "finetune/mae/age/seed-0": [labels], "raw/age/index/0000": [SCAN], "resources/packages/heads.whl": [PACKAGE],
    }  # fmt: skip


def test_an_altered_input_is_told_with_who_read_it(labels):
    card = "predict/mae/age/seed-0/run.json"
    edit(card, inputs=json.loads(Path(R, card).read_text())["inputs"] | {MODEL: "f" * 64})
    steps = lineage().chain([SCORES])
    ((step, source),) = chain.altered(steps)
    assert (step.card, source.path, source.sha256, source.state) == (f"{R}/{card}", MODEL, "f" * 64, "altered")
    assert chain.holes(steps) == []


def test_a_missing_card_is_no_raw_file(labels):
    Path(R, "finetune/mae/age/seed-0/run.json").unlink()
    steps = lineage().chain([SCORES])
    ((step, source),) = chain.holes(steps)
    assert (step.facts["stage"], source.path) == ("predict_test", MODEL)
    assert MODEL not in chain.beginnings(steps)


def test_results_of_another_experiment_are_raw_files_of_this_one(labels):
    card, theirs = "raw/age/index/0000.run.json", "results/other/raw/age/sub-0002_T1w.nii.gz"
    edit(card, inputs=json.loads(Path(R, card).read_text())["inputs"] | {theirs: "3" * 64})
    steps = lineage().chain([SCORES])
    assert chain.holes(steps) == []
    assert theirs in chain.beginnings(steps)


def test_cards_behind_a_link_are_found_and_those_of_states_are_not(labels, tmp_path):
    packages = Path("results/resources/packages")
    packages.rename(tmp_path / "shared")
    packages.symlink_to(tmp_path / "shared", target_is_directory=True)
    Path(R, ".state/set_aside").mkdir(parents=True)
    Path(R, ".state/set_aside/run.json").write_text("{}")
    found = [p.as_posix() for p in card_files(Path(R))]
    assert f"{PACKAGE}.run.json" in found
    assert not any(".state" in path for path in found)
    assert found == sorted(found)


def test_a_card_that_is_of_another_format_is_named(labels):
    edit("leaderboard/run.json", format=1)
    with pytest.raises(CairnError, match=r"leaderboard/run.json: not a card of format 2"):
        lineage()


def test_names_durations_and_sums():
    assert chain.job_name("results/ci/finetune/mae/age/seed-0/run.json") == "finetune/mae/age/seed-0"
    assert chain.job_name("results/ci/preprocess/age/0000.run.json") == "preprocess/age/0000"
    assert chain.job_name("results/resources/packages/x.whl.run.json") == "resources/packages/x.whl"
    assert [chain.memory(mb) for mb in (35.2, 1228.8)] == ["35 MB", "1.2 GB"]
    cards = [{"wall_s": 1.5, "cpu_s": 1.0, "peak_memory_mb": 9.0}, {"wall_s": 2.0, "cpu_s": 3.0, "peak_memory_mb": 7.0}]
    assert chain.cost(cards) == chain.Cost(2, 3.5, 4.0, 9.0)
    config = {"b": {"y": {"z": 1}, "x": [1]}, "a": 2, "n": None}
    assert list(chain.flat(config).items()) == [("a", 2), ("b.x", [1]), ("b.y.z", 1)]
