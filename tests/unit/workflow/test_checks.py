"""Guards the checks of runs: foreign weights compete on the open track alone, and a mode needs an encoder."""

from pathlib import Path

import pytest
import yaml

from cairn.config.base import parse
from cairn.config.experiment import ExperimentConfig
from cairn.config.runs import Run
from cairn.errors import CairnError
from cairn.workflow.checks import check_entry, check_foreign, check_run

ROOT = Path(__file__).resolve().parents[3]
TABLE = Path("runs.tsv")
FOREIGN = {
    "run": "x",
    "label": "X",
    "method": "pretrained",
    "network": "tiny",
    "weights": "w.safetensors",
    "track": "open",
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "w.safetensors").touch()
    (tmp_path / "good.yaml").write_text("source: a paper\n")
    (tmp_path / "bad.yaml").write_text("sourc: a paper\n")
    return tmp_path


CI = parse(ExperimentConfig, yaml.safe_load((ROOT / "config/ci.yaml").read_text()))


def test_foreign_weights_on_the_open_track(folder):
    for run in (Run(**FOREIGN), Run(**FOREIGN, mapping="good.yaml", finetune_mode="frozen")):
        check_run(CI, run, TABLE)
        check_foreign(CI, folder, run, TABLE)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"track": "method"}, r"'x': foreign weights on track 'method'.*Set track to one that takes them .open."),
     ({"method": "scratch"}, "foreign weights with method 'scratch'"),
     ({"objective": "mae"}, "imported or pretrained"), ({"pretrain_data": "pretrain"}, "imported or pretrained"),
     ({"weights": "", "mapping": "good.yaml"}, "'mapping' without 'weights'"),
     ({"weights": "gone.safetensors"}, "gone.safetensors: no such file"),
     ({"mapping": "bad.yaml"}, "did you mean 'source'"), ({"mapping": "gone.yaml"}, "gone.yaml: no readable mapping")],
)  # fmt: skip
def test_foreign_weights_that_are_refused(folder, change, message):
    with pytest.raises(CairnError, match=message):
        check_foreign(CI, folder, Run(**FOREIGN | change), TABLE)


def test_a_classical_run_has_no_mode():
    with pytest.raises(CairnError, match="a classical run has no encoder"):
        check_run(CI, Run(run="c", label="C", method="classical", finetune_mode="lora"), TABLE)


ENTRY = {"run": "e", "label": "E", "method": "container", "image": "e", "track": "open"}


@pytest.fixture
def images(tmp_path):
    (tmp_path / "e/app").mkdir(parents=True)
    (tmp_path / "e/app/predict.py").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "e.tar").touch()
    return tmp_path


def test_an_entry_on_a_track_that_takes_it(images):
    check_run(CI, Run(**ENTRY), TABLE)
    check_entry(CI, images, Run(**ENTRY), TABLE)
    rules = CI.tracks["method"].model_copy(update={"containers": True})
    told = CI.model_copy(update={"tracks": {**CI.tracks, "method": rules}})
    check_entry(told, images, Run(**ENTRY | {"track": "method"}), TABLE)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"image": "gone"}, "'e': image .*gone: no such image"), ({"image": "empty"}, "a folder without app/predict.py"),
     ({"image": "e.tar"}, "not a .sif file"), ({"image": "docker://x"}, "no file or folder.*apptainer build"),
     ({"image": ""}, "no image"), ({"track": "method"}, "a sealed image on track 'method'.*Set track to .*open"),
     ({"network": "tiny", "steps": 4}, "network, steps: an entry is a sealed image"), ({"seeds": 3}, "seeds: an entry"),
     ({"method": "classical"}, "an image with method 'classical'")],
)  # fmt: skip
def test_entries_that_are_refused(images, change, message):
    with pytest.raises(CairnError, match=message):
        check_entry(CI, images, Run(**ENTRY | change), TABLE)


def test_an_entry_is_not_asked_what_no_contract_carries(images):
    task = CI.tasks["age"].model_copy(update={"optional": ("sodium",)})
    odd = CI.model_copy(update={"tasks": {**CI.tasks, "age": task}})
    with pytest.raises(CairnError, match="fomo25 has no argument for sodium"):
        check_entry(odd, images, Run(**ENTRY), TABLE)
