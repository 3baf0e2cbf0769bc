"""One door to every method of fine-tuning; the job says which. A classical job loads no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cairn.baselines.fit import fit_classical
from cairn.config.base import parse
from cairn.train.jobs import FinetuneJob


def finetune(
    config: Mapping[str, Any], shards: Sequence[Path], labels: Path, weights: Sequence[Path], state: Path,
    model: Path, history: Path, threads: int, code: str,
) -> dict[str, Any]:  # fmt: skip
    """Fine-tune one model by the method of its run; arguments as in `train.finetune.finetune`."""
    job = parse(FinetuneJob, config)
    if job.method == "classical":
        return fit_classical(job, shards, labels, weights, model, history)
    if job.task.kind == "probe":
        from cairn.train.probe import probe

        return probe(job, shards, labels, weights, model, history, threads)
    from cairn.train.finetune import finetune as deep

    return deep(job, shards, labels, weights, state, model, history, threads, code)
