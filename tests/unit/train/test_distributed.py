"""Guards several processes: they come to the losses and weights of one with the same global batch; resume; refusals."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from killing import same, states
from made import make_set
from radiology import make_heads
from together import CASES, ask, job, train

from cairn.io.atomic import sha256
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
    subprocess.run([*launcher, program, "main", sets, folder], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return folder


def alive(folder):
    """Processes that were started with a file in ``folder``."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in entry.read_bytes():
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return found


def until(happened):
    """Wait; starting processes takes half a minute on a busy machine."""
    end = time.monotonic() + 300
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.1)


def numbers(folder):
    """All losses and other numbers of a history, by step and name."""
    records = json.loads((folder / "history.json").read_text())
    return {(r["step"], k): r[k] for r in records for k in ("loss", "val_loss") if k in r}


def last_state(folder):
    """File of the state after the last step."""
    return sorted((folder / "k").glob("state-*.safetensors"))[-1]


@pytest.mark.parametrize(("kind", "parallel"), CASES)
def test_two_processes_come_to_the_losses_of_one(together, sets, tmp_path, kind, parallel):
    train(job(kind, parallel), sets, tmp_path)
    assert numbers(together / f"{kind}-{parallel}") == pytest.approx(numbers(tmp_path), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("kind", "parallel"), CASES)
def test_two_processes_come_to_the_weights_of_one(together, sets, tmp_path, kind, parallel):
    """In float64. In float32 they differ by what Adam makes of rounding: where a gradient is zero in theory, as that of
    a bias before a norm, a step of full length.
    """
    train(job(kind, parallel), sets, tmp_path, wide=True)
    two = together / f"{kind}-{parallel}-wide"
    assert numbers(two) == pytest.approx(numbers(tmp_path), rel=1e-7, abs=1e-7)
    one, other = (read_tensors(last_state(folder)) for folder in (tmp_path, two))
    assert one.keys() == other.keys()
    assert torch.float32 not in {x.dtype for name, x in one.items() if name.startswith("model.")}
    for name in one:
        assert float((one[name].double() - other[name].double()).abs().amax()) < 1e-7, name


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_interrupted_processes_end_like_uninterrupted_ones_whether_they_recompute_or_not(together, parallel):
    whole, cut = (read_tensors(together / f"{name}-{parallel}" / "weights.safetensors") for name in ("mae", "cut"))
    assert whole.keys() == cut.keys()
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    assert numbers(together / f"mae-{parallel}") == numbers(together / f"cut-{parallel}")


def test_processes_die_with_the_one_that_asked_and_the_next_goes_on(sets, tmp_path, capfd):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    facts = ask(sets, whole)
    assert facts["processes"] == 2
    assert facts["weights_sha256"] == sha256(whole / "encoder.safetensors")
    program = Path(__file__).with_name("together.py")
    asker = subprocess.Popen([sys.executable, program, "ask", sets, cut])
    until(lambda: states(cut))
    assert len(alive(cut)) >= 4, "the one that asked, torchrun and two processes"
    asker.kill()
    asker.wait()
    until(lambda: not alive(cut))
    assert not (cut / "encoder.safetensors").exists()
    capfd.readouterr()
    ask(sets, cut)
    assert "goes on after step" in capfd.readouterr().err
    assert same(cut, whole)
    assert not list(cut.glob(".launch*")), "what was asked is removed"
