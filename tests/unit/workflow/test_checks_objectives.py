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
