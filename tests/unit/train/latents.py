"""Small sections and runs for the tests of the objectives in feature space; sessions that tell a voxel's place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from learning import NETWORK
from made import geometry, write_set

from cairn.config.base import parse
from cairn.io.sessions import Session, open_sessions
from cairn.io.shard import PreprocessedSession
from cairn.nets.weights import read_tensors
from cairn.ssl.draws import generator
from cairn.train.loop import Loop
from cairn.train.pretrain import PretrainJob, PretrainProblem, pretrain
from cairn.train.state import StateFolder

PATCH = [16, 16, 16]
SMALL_TEACHER = {"momentum": 0.9, "momentum_end": 0.99, "ramp_steps": 40}
SECTIONS: dict[str, dict[str, Any]] = {
    "mae": {"mask_ratio": 0.75, "loss_on": "masked"},
    "hybrid": {
        "overlap": 0.75, "align_points": 3, "projection": 16, "projection_hidden": 32, "teacher": SMALL_TEACHER,
    },
    "subject_sequence": {"latent_channels": 8, "kl_anneal_steps": 20},
    "dino": {
        "local_voxels": PATCH, "local_crops": 2, "prototypes": 32, "head_hidden": 32, "head_bottleneck": 16,
        "temperature_steps": 50, "teacher": SMALL_TEACHER,
    },
    "jepa": {"predictor_channels": 24, "predictor_heads": 2, "predictor_layers": 1, "teacher": SMALL_TEACHER},
}  # fmt: skip


def section(kind: str, **changes: Any) -> dict[str, Any]:
    """A small section of a kind."""
    return {"kind": kind, "patch_voxels": PATCH, **SECTIONS[kind], **changes}


def job(objective: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """A pretraining job; ``changes`` go to the section ``pretrain``."""
    recipe = {"steps": 60, "batch_size": 4, "warmup_steps": 5, "learning_rate": 3e-3, "validate_every": 1000}
    recipe |= changes
    return {"run": "x", "seed": 5, "network": NETWORK, "objective": objective, "pretrain": recipe, "device": "cpu"}


def problem(index: Path, objective: Mapping[str, Any], **changes: Any) -> PretrainProblem:
    """What the loop trains."""
    return PretrainProblem(parse(PretrainJob, job(objective, **changes)), open_sessions([index]))


def evaluate(of: PretrainProblem, batches: int = 6) -> tuple[float, float]:
    """Mean loss in eval mode over batches that training never draws, and the spread of the embeddings (1: as noise)."""
    of.module.eval()
    with torch.no_grad():
        seen = [of.batch(1000 + step) for step in range(batches)]
        losses = [float(of.module(batch)) for batch in seen]
        features = torch.nn.functional.normalize(torch.cat([of.module.embed(batch) for batch in seen]), dim=1)
    return sum(losses) / batches, float((features.std(dim=0) * features.shape[1] ** 0.5).mean())


def trained(of: PretrainProblem, folder: Path) -> tuple[tuple[float, float], tuple[float, float]]:
    """`evaluate` before and after the training."""
    before = evaluate(of)
    Loop(of, of.job.pretrain, StateFolder(folder, "k"), torch.device("cpu")).run()
    return before, evaluate(of)


def run(folder: Path, index: Path, objective: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """A whole pretraining of a few steps into ``folder``, from its states if there are any; the encoder."""
    small = {"steps": 7, "batch_size": 2, "warmup_steps": 1, "state_every": 2, "log_every": 2, "validate_every": 3}
    folder.mkdir(exist_ok=True)
    encoder, history = folder / "encoder.safetensors", folder / "history.jsonl"
    pretrain(job(objective, **small), [index], folder / "state", encoder, history, 1, "code")
    return read_tensors(encoder)


def batch_of(objective: Any, sessions: list[Session], purpose: str = "v") -> dict[str, torch.Tensor]:
    """One view of each session, stacked."""
    views = [objective.views(s, generator(0, purpose, i)) for i, s in enumerate(sessions)]
    return {k: torch.stack([v[k] for v in views]) for k in views[0]}


def doubled(objective: Any, batch: Mapping[str, torch.Tensor]) -> tuple[Any, dict[str, torch.Tensor]]:
    """Both in float64, so that a loss can be held to its plain reference to 1e-6: float32 sums differ by more."""
    return objective.double(), {k: v.double() if v.is_floating_point() else v for k, v in batch.items()}


def same_views(objective: Any, session: Session) -> bool:
    """Whether a view depends on its draw alone, and on that it does."""
    a = objective.views(session, generator(0, "v", 1, 2))
    np.random.default_rng().random()
    torch.rand(3)
    b, other = objective.views(session, generator(0, "v", 1, 2)), objective.views(session, generator(0, "v", 1, 3))
    return all(torch.equal(a[k], b[k]) for k in a) and any(not torch.equal(a[k], other[k]) for k in a)


def places(folder: Path, shape: tuple[int, int, int], mask: np.ndarray) -> Session:
    """A session whose sequences X, Y, Z hold 1 + the voxel's place along that axis, inside and outside the brain."""
    grid = 1 + np.indices(shape).astype(np.float32)
    volumes = dict(zip("XYZ", grid, strict=True))
    folder.mkdir(parents=True, exist_ok=True)
    made = PreprocessedSession("0001", "1", volumes, mask, geometry(shape, "XYZ"))
    return open_sessions([write_set(folder, "0000", [made])])[0]


@contextmanager
def interrupted(monkeypatch: pytest.MonkeyPatch, step: int) -> Iterator[None]:
    """Context in which a pretraining is interrupted before its batch ``step``, and must be."""
    original = PretrainProblem.batch

    def batch(self: PretrainProblem, number: int) -> Any:
        if number == step:
            raise KeyboardInterrupt
        return original(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(PretrainProblem, "batch", batch)
        with pytest.raises(KeyboardInterrupt):
            yield
