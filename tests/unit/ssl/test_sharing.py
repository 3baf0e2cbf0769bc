"""Guards statistics over the global batch: two processes with half of a batch each find what one finds with all of it.

Gradients are averaged over processes, as data-parallel training does.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sharing
import torch
from safetensors.torch import load_file

HERE = Path(__file__).parent
SUMMED = ("sinkhorn", "uneven", "none")
"""What each process has for its own rows."""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What one process finds, and what two do."""
    folder = tmp_path_factory.mktemp("shared")
    path = os.pathsep.join([str(HERE.parent / "train"), *filter(None, sys.path)])
    command = [sys.executable, str(HERE / "sharing.py"), str(folder)]
    started = [
        subprocess.Popen([*command, str(rank), "2"], env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.PIPE)
        for rank in (0, 1)
    ]
    sharing.main(folder, 0, 1)
    for process in started:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors.decode()
    return load_file(folder / "1-0.safetensors"), [load_file(folder / f"2-{rank}.safetensors") for rank in (0, 1)]


def test_targets_are_those_of_the_whole_batch(found):
    alone, both = found
    for name in SUMMED:
        assert torch.allclose(torch.cat([part[name] for part in both]), alone[name], atol=1e-9), name
    for name in ("centre", "no centre"):
        assert all(torch.allclose(part[name], alone[name], atol=1e-7) for part in both), name
    assert (alone["centre"] != 0).all()
    assert (alone["no centre"] == 0).all()
    # Not those of each half.
    half = sharing.sinkhorn(torch.randn(8, 6, generator=torch.Generator().manual_seed(1))[:4].double(), 0.1, 3)
    assert not torch.allclose(half, alone["sinkhorn"][:4], atol=1e-3)


@pytest.mark.parametrize("name", ["koleo", "sigreg"])
def test_terms_and_their_averaged_gradients_are_those_of_the_whole_batch(found, name):
    alone, both = found
    assert torch.allclose(sum(part[name] for part in both) / 2, alone[name], atol=1e-9)
    # A process has only its own rows; on the others' the gradient of this process's term went to them.
    assert torch.allclose(
        torch.cat([part[f"{name} gradient"] for part in both]) / 2, alone[f"{name} gradient"], atol=1e-9
    )


@pytest.mark.parametrize("targets", ["sinkhorn", "centring"])
def test_the_whole_objective_is_that_of_the_whole_batch(found, targets):
    alone, both = found
    names = [n for n in alone if n.startswith(f"{targets} ")]
    assert len(names) > 30
    for name in names:
        if name.endswith("centre"):
            assert all(torch.allclose(part[name], alone[name], atol=1e-6) for part in both), name
        else:
            assert torch.allclose(sum(part[name] for part in both) / 2, alone[name], atol=1e-5), name
