"""Guards that an objective takes a step on every backbone that its check lets through, and knows of no task."""

import ast
from pathlib import Path

import pytest
import torch
from backbones import NETWORKS
from latents import SECTIONS, batch_of
from made import make_set
from pydantic import TypeAdapter

import cairn.ssl
from cairn.config.objectives import ObjectiveConfig
from cairn.io.sessions import open_sessions
from cairn.ssl.registry import OBJECTIVES, build_objective

SMALL = {
    **SECTIONS,
    "moco": {"projector": [16, 8], "queue": 8},
    "simclr": {"projector": [16, 8]},
    "vicreg": {"expander": [16, 16, 8]},
    "voco": {"projector": [16, 8], "grid": [2, 2, 1]},
}
VOLUMES = sorted(set(OBJECTIVES) - {"curia"})
OBJECTIVE = TypeAdapter(ObjectiveConfig)


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    made = make_set(tmp_path_factory.mktemp("b"), "classification", 3, shape=(28, 26, 24))
    return open_sessions([made.index])


@pytest.mark.parametrize("network", list(NETWORKS))
@pytest.mark.parametrize("kind", VOLUMES)
def test_an_objective_takes_a_step_on_a_backbone(sessions, kind, network):
    config = OBJECTIVE.validate_python({"kind": kind, "patch_voxels": [16, 16, 16], **SMALL[kind]})
    section = NETWORKS[network]
    config.check(section)  # what the plan asks: it claims that this pair can run
    objective = build_objective(config, section, 0).train()
    batch = batch_of(objective, sessions)
    with torch.no_grad():
        objective(batch)  # MoCo's queue is empty at the first step: nothing to tell apart
    objective.after_update(0)
    loss = objective(batch)
    loss.backward()
    assert torch.isfinite(loss)
    moved = [p.grad for p in objective.encoder.parameters() if p.requires_grad and p.grad is not None]
    assert any(bool((g != 0).any()) for g in moved)
    assert all(bool(torch.isfinite(g).all()) for g in moved)


@pytest.mark.parametrize("path", sorted(Path(cairn.ssl.__file__).parent.glob("*.py")), ids=lambda p: p.stem)
def test_no_objective_knows_a_task(path):
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    assert not [name for name in names if name.startswith(("cairn.tasks", "cairn.config.tasks"))]
