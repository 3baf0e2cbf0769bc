"""Several processes that train one model: run by ``torchrun`` (see test_distributed), or in one process to compare.

Every case trains a few steps by the loop and leaves its history and its weights in a folder of its own.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from latents import SECTIONS
from learning import NETWORK
from radiology import CURIA, CURIA_2, NETWORK_2D

from cairn.config.base import parse
from cairn.io.sessions import open_sessions
from cairn.nets.weights import save_weights
from cairn.train.distributed import ALONE, Processes, joined, spread
from cairn.train.loop import Loop
from cairn.train.pretrain import PretrainJob, PretrainProblem, pretrain
from cairn.train.state import StateFolder

PAIR = {"patch_voxels": [16, 16, 16], "projector": [16, 8]}
VIEW = {"patch_voxels": [16, 16, 16]}
VIT = {"kind": "vit", "width": 24, "depth": 2, "heads": 2, "patch": 4}
OBJECTIVES: dict[str, dict[str, Any]] = {
    "mae": {"kind": "mae", "loss_on": "masked", **VIEW},
    "simclr": {"kind": "simclr", **PAIR},
    "moco": {"kind": "moco", "queue": 12, **PAIR},
    "vicreg": {"kind": "vicreg", "patch_voxels": [16, 16, 16], "expander": [16, 16]},
    "voco": {"kind": "voco", **VIEW, "grid": [2, 1, 1], "projector": [16, 8]},
    "hybrid": {"kind": "hybrid", **VIEW, **SECTIONS["hybrid"]},
    "jepa": {"kind": "jepa", **VIEW, **SECTIONS["jepa"]},
    "dino": {"kind": "dino", **VIEW, **SECTIONS["dino"], "targets": "sinkhorn"},
    "curia": CURIA,
    "curia-2": {**CURIA_2, "stages": [{"px": 16, "from_step": 0}, {"px": 32, "from_step": 2}]},
}
SLICES = {**NETWORK_2D, "drop_path": 0.0}
CASES = [(kind, parallel) for kind in OBJECTIVES for parallel in ("ddp", "fsdp")]
STEPS = {
    "steps": 4, "batch_size": 4, "warmup_steps": 1, "log_every": 1, "validate_every": 2, "state_every": 2,
    "min_feature_std": 0, "min_effective_rank": 0, "val_share": 0.4,
}  # fmt: skip


def job(kind: str, parallel: str = "ddp", processes: int = 1, **changes: Any) -> PretrainJob:
    """A pretraining of a few steps."""
    network = VIT if parallel == "fsdp" and kind in ("mae", "simclr") else NETWORK
    network = SLICES if OBJECTIVES[kind]["kind"] == "curia" else network
    recipe = {**STEPS, "processes": processes, "parallel": parallel, **changes}
    data = {"run": kind, "seed": 5, "network": network, "objective": OBJECTIVES[kind], "pretrain": recipe}
    return parse(PretrainJob, {**data, "device": "cpu"})


def train(
    of: PretrainJob, sets: Path, folder: Path, processes: Processes = ALONE, stop: int | None = None, wide: bool = False
) -> None:  # fmt: skip
    """Train into ``folder``, from its states if there are any; or only up to before the update after ``stop``.

    ``sets`` holds preprocessed heads under ``2`` for objectives of slices, and under ``3`` for others. ``wide``: with
    weights and batches in float64, where the order of a sum leaves no trace.
    """
    index = sets / str(of.objective.dims) / "0000.index.tsv"
    problem = PretrainProblem(of, open_sessions([index]), processes)
    if wide:
        widen(problem)
    if stop is not None:
        batch = problem.batch

        def interrupted(step: int) -> Any:
            if step == stop:
                raise KeyboardInterrupt
            return batch(step)

        problem.batch = interrupted  # type: ignore[method-assign]
    device = torch.device("cpu")
    problem.averaged = spread(problem.module, of.pretrain, processes, device, problem.start)
    states = StateFolder(folder, "k") if processes.leads else None
    result = Loop(problem, of.pretrain, states, device, processes).run()
    if processes.leads:
        save_weights(folder / "weights.safetensors", result.tensors, {})
        (folder / "history.json").write_text(json.dumps(result.records))


def widen(problem: PretrainProblem) -> None:
    """Let a problem compute in float64."""
    problem.module.double()
    made = problem._made

    def double(*args: Any) -> Any:
        return {name: x.double() if x.is_floating_point() else x for name, x in made(*args).items()}

    problem._made = double  # type: ignore[method-assign]


def main(sets: Path, folder: Path) -> None:
    """All cases, one after the other."""
    torch.set_num_threads(1)
    with joined(job("mae", processes=2).pretrain, torch.device("cpu")) as two:
        for kind, parallel in CASES:
            processes = replace(two, sharded=parallel == "fsdp")
            train(job(kind, parallel, 2), sets, folder / f"{kind}-{parallel}", processes)
            train(job(kind, parallel, 2), sets, folder / f"{kind}-{parallel}-wide", processes, wide=True)
        for parallel in ("ddp", "fsdp"):
            processes, cut = replace(two, sharded=parallel == "fsdp"), folder / f"cut-{parallel}"
            again = job("mae", parallel, 2, checkpoint_activations=True)
            try:
                train(again, sets, cut, processes, stop=3)
            except KeyboardInterrupt:
                train(again, sets, cut, processes)


def ask(sets: Path, folder: Path) -> dict[str, Any]:
    """Pretrain by two processes that this one starts, into ``folder``, from its states if there are any."""
    config = job("mae", processes=2, steps=30).model_dump(mode="json")
    made = folder / "encoder.safetensors", folder / "history.jsonl"
    return pretrain(config, [sets / "3" / "0000.index.tsv"], folder / "state", *made, 2, "code")


if __name__ == "__main__":
    {"main": main, "ask": ask}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
