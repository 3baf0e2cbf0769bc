"""Guards several processes: they come to the losses and weights of one with the same global batch; resume; refusals."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from made import make_set
from radiology import make_heads
from together import CASES, job, train

from cairn.nets.weights import read_tensors

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    make_set(folder / "3", "classification", 8)
    make_heads(folder / "2", 8)
    return folder


@pytest.fixture(scope="module")
def together(sets, tmp_path_factory):
    """Folder of all cases, trained by two processes in one launch."""
    folder = tmp_path_factory.mktemp("together")
    program = Path(__file__).with_name("together.py")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([*launcher, program, sets, folder], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return folder


def numbers(folder):
    """All losses and other numbers of a history, by step and name."""
    records = json.loads((folder / "history.json").read_text())
    return {(r["step"], k): r[k] for r in records for k in ("loss", "val_loss") if k in r}


def last_state(folder):
    """File of the state after the last step."""
    return sorted((folder / "k").glob("state-*.safetensors"))[-1]


def distance(name, one, other):
    """Largest difference of a tensor of two states.

    Of weights, those alone whose gradient is more than rounding: where it is zero in theory, as that of a bias before a
    norm, Adam makes steps of full length out of what is left.
    """
    there = torch.ones(one[name].shape, dtype=torch.bool)
    moment = re.sub(r"teacher(_(\w+?))?\.network", lambda m: m[2] or "encoder", name.replace("model.", "exp_avg_sq."))
    if name.startswith("model.") and moment in one:
        there = one[moment].sqrt() > 1e-5
    return float((one[name].double() - other[name].double()).abs()[there].amax()) if there.any() else 0.0


@pytest.mark.parametrize(("kind", "parallel"), CASES)
def test_two_processes_train_like_one(together, sets, tmp_path, kind, parallel):
    train(job(kind, parallel), sets, tmp_path)
    two = together / f"{kind}-{parallel}"
    assert numbers(two) == pytest.approx(numbers(tmp_path), rel=1e-5, abs=1e-6)
    one, other = (read_tensors(last_state(folder)) for folder in (tmp_path, two))
    assert one.keys() == other.keys()
    for name in one:
        assert distance(name, one, other) < 1e-5, name


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_interrupted_processes_end_like_uninterrupted_ones_whether_they_recompute_or_not(together, parallel):
    whole, cut = (read_tensors(together / f"{name}-{parallel}" / "weights.safetensors") for name in ("mae", "cut"))
    assert whole.keys() == cut.keys()
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    assert numbers(together / f"mae-{parallel}") == numbers(together / f"cut-{parallel}")
