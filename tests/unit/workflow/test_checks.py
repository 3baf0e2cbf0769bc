"""Guards the checks of runs: foreign weights compete on the open track alone, and a mode needs an encoder."""

from pathlib import Path

import pytest
import yaml

from cairn.config.base import parse
from cairn.config.experiment import ExperimentConfig
from cairn.config.runs import Run
from cairn.errors import CairnError
from cairn.workflow.checks import check_foreign, check_run

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
