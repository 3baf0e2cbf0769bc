"""Guards that the plan refuses an objective that cannot run, naming run and remedy, before any job starts."""

import copy
from pathlib import Path

import pytest
import yaml

from cairn.errors import CairnError
from cairn.plan import Plan

ROOT = Path(__file__).resolve().parents[3]
CI = yaml.safe_load((ROOT / "config/ci.yaml").read_text())


def plan(objective, **pretrain):
    config = copy.deepcopy(CI)
    config["objectives"]["mae"] = {"patch_voxels": [24, 24, 24], **objective}
    config["pretrain"] |= pretrain
    return Plan(config, ROOT)


@pytest.mark.parametrize(
    ("objective", "pretrain", "message"),
    [({"kind": "simclr"}, {"batch_size": 1}, "run 'mae': objective simclr compares .*batch_size is 1"),
     ({"kind": "moco", "queue": 1}, {}, "run 'mae': objective moco: a queue of 1"),
     ({"kind": "mae", "patch_voxels": [8, 8, 8]}, {}, "run 'mae': objective mae: .* keeps one voxel"),
     ({"kind": "voco", "grid": [1, 1, 1]}, {}, "run 'mae': objective voco: a grid of one"),
     ({"kind": "vicreg", "patch_voxels": [20, 24, 24]}, {}, "run 'mae': objective vicreg: .* does not divide")],
)  # fmt: skip
def test_an_objective_that_cannot_run_is_refused(objective, pretrain, message):
    with pytest.raises(CairnError, match=message) as caught:
        plan(objective, **pretrain)
    assert caught.value.code == "runs"


@pytest.mark.parametrize("kind", ["mae", "simclr", "moco", "vicreg", "voco"])
def test_one_that_can_is_planned(kind):
    assert f'"kind": "{kind}"' in plan({"kind": kind}).pretrain_job("mae", "0")


def with_patch(patch, **changes):
    config = copy.deepcopy(CI)
    (dense,) = [name for name, task in config["tasks"].items() if task["kind"] == "segmentation"]
    config["tasks"][dense]["recipe"] = {**config["tasks"][dense].get("recipe", {}), "patch_voxels": patch}
    config["tasks"][dense] |= changes
    return Plan(config, ROOT)


def test_crops_of_a_segmentation_that_a_network_cannot_take_are_refused():
    """Else the fine-tuning fails, after the pretraining is paid for."""
    with pytest.raises(
        CairnError, match=r"run 'mae': patch_voxels \[20, 24, 24\] of task .* stride of network"
    ) as caught:
        with_patch([20, 24, 24])
    assert caught.value.code == "runs"
    assert "multiples of 8" in caught.value.remedy
    with_patch([16, 24, 24])
    with_patch([20, 24, 24], enabled=False)
