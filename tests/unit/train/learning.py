"""Small jobs for the tests of training: tiny nets, few steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cairn.baselines.dispatch import finetune
from cairn.train.pretrain import pretrain

NETWORK = {"channels": [4, 8, 12], "blocks": [0, 1, 1]}
SEQUENCES = ("FLAIR", "DWI")


def task(kind: str, **more: Any) -> dict[str, Any]:
    """A task's section as a job has it."""
    mask = {"mask_sequence": "FLAIR"} if kind == "segmentation" else {}
    return {"name": kind, "kind": kind, "required": list(SEQUENCES), **mask, **more}


def run_pretrain(folder: Path, index: Path, code: str = "code", threads: int = 1, **changes: Any) -> Any:
    """Pretrain into ``folder``; returns the card's facts. ``changes`` go to the section ``pretrain``."""
    steps = {"steps": 9, "batch_size": 2, "warmup_steps": 1, "state_every": 2, "log_every": 2, "validate_every": 4}
    steps |= changes
    objective = {"kind": "mae", "patch_voxels": [16, 16, 16]}
    job = {"run": "mae", "seed": 5, "network": NETWORK, "objective": objective, "pretrain": steps, "device": "cpu"}
    encoder, history = folder / "encoder.safetensors", folder / "history.jsonl"
    return pretrain(job, [index], folder / "state", encoder, history, threads, code)


def finetune_job(kind: str, method: str = "scratch", seed: int = 5, **recipe: Any) -> dict[str, Any]:
    """A fine-tuning job."""
    recipe = {"steps": 8, "warmup_steps": 1, "validate_every": 2, "state_every": 3, **recipe}
    network = None if method == "classical" else NETWORK
    return {
        "run": method, "method": method, "task": task(kind), "network": network, "finetune": recipe, "seed": seed,
        "device": "cpu",
    }  # fmt: skip


def run_finetune(folder: Path, made: Any, job: dict[str, Any], weights: Sequence[Path] = ()) -> Any:
    """Fine-tune into ``folder``; returns the card's facts."""
    model, history = folder / "model.safetensors", folder / "history.jsonl"
    return finetune(job, [made.index], made.labels, list(weights), folder / "state", model, history, 1, "code")
