"""Guards the comparison of a rebuilt number: equal or not, where the two chains part, and why."""

import copy
from pathlib import Path

import pytest

from cairn.errors import CairnError
from cairn.io.atomic import write_json
from cairn.provenance.lineage import Lineage
from cairn.provenance.rebuild import GPU_TOLERANCE, compare, prepare, report

SCORES = "results/x/evaluate/r/t/scores.parquet"


def card(stage: str, inputs: dict, outputs: dict, **facts) -> dict:
    return {
        "stage": stage, "code": "c", "config_sha256": "d", "inputs": inputs, "outputs": outputs,
        "hardware": {"cores": 2}, "environment": {"packages": {"numpy": "2"}}, "facts": facts,
    }  # fmt: skip


@pytest.fixture
def cards() -> dict:
    return {
        "fit": card("finetune_model", {"raw.nii": "1"}, {"model": "2", "history": "3"}, device="cpu"),
        "score": card("evaluate_run", {"model": "2"}, {SCORES: "4"}),
    }


def made(cards: dict, old: float | None = 0.5, new: float | None = 0.5, **changes):
    again = copy.deepcopy(cards)
    for path, value in changes.items():
        stage, *keys = path.split("__")
        section = again[stage]
        for key in keys[:-1]:
            section = section[key]
        section[SCORES if keys[-1] == "scores" else keys[-1]] = value
    return compare(Lineage(cards), Lineage(again), SCORES, old, new)


def test_equal_chains_are_the_same(cards):
    found = made(cards)
    assert found.same
    assert found.stages == {"finetune_model": (2, 2), "evaluate_run": (1, 1)}
    assert "equal byte by byte" in report("MAE of r on t", found)


def test_the_first_difference_from_the_raw_files_on_is_named_with_its_reasons(cards):
    found = made(
        cards, 0.5, 0.6, fit__outputs__model="9", fit__code="e", fit__environment={"packages": {"numpy": "3"}},
        score__outputs__scores="8",
    )  # fmt: skip
    assert not found.same
    assert found.first == "model"
    assert found.reasons == ["code", "numpy 2 and 3"]
    assert found.stages["finetune_model"] == (1, 2)
    assert "NOT the same" in report("MAE of r on t", found)


def test_other_weights_with_equal_scores_are_the_same_and_told(cards):
    found = made(cards, fit__outputs__model="9")
    assert found.same
    assert "First difference: model" in report("MAE of r on t", found)


@pytest.mark.parametrize(("new", "same"), [(0.5 + GPU_TOLERANCE / 2, True), (0.5 + GPU_TOLERANCE * 2, False)])
def test_a_gpu_has_a_tolerance_and_a_cpu_none(cards, new, same):
    other = {"score__outputs__scores": "8"}
    assert not made(cards, 0.5, new, **other).same
    assert made(cards, 0.5, new, fit__facts__device="H100", **other).same is same


def test_an_undefined_number_that_differs_is_not_the_same(cards):
    assert not made(cards, None, 0.5, fit__facts__device="H100", score__outputs__scores="8").same


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    with pytest.raises(CairnError, match="full is not empty"):
        prepare(Path("results/x"), Path("full"))
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_a_clean_folder_has_source_configuration_and_raw_files_and_no_result(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (
        "src/cairn/a.py",
        "Snakefile",
        "results/resources/packages/a.whl",
        "results/x/one/b.tsv",
        "data/s/c.nii",
        "images/theirs/app/predict.py",
    ):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    Path("runs.tsv").write_text("run\tlabel\tmethod\timage\ttrack\nt\tT\tcontainer\timages/theirs\topen\n")
    config = {"datasets": {"m": {"root": "data/s"}, "n": {"root": "/elsewhere"}}, "runs": "runs.tsv"}
    write_json(Path("results/x/config.json"), config)
    prepare(Path("results/x"), Path("new"))
    there = {p.relative_to("new").as_posix() for p in Path("new").rglob("*") if p.is_file()}
    assert there == {"src/cairn/a.py", "Snakefile", "results/resources/packages/a.whl", "rebuild.json"}
    assert Path("new/data/s/c.nii").read_text() == "data/s/c.nii"
    assert Path("new/images/theirs/app/predict.py").is_file()
