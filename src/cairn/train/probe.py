"""Linear probe: a frozen encoder, pretrained or random, and a linear head on its embeddings. Nothing is fine-tuned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from cairn.config.networks import NetworkConfig
from cairn.io.atomic import remove_left_overs, sha256, write_text
from cairn.io.sessions import open_sessions
from cairn.nets.models import build_model
from cairn.nets.weights import save_weights
from cairn.ssl.draws import derived_seed
from cairn.tasks.cases import labelled_cases
from cairn.tasks.targets import class_index
from cairn.train.devices import describe, set_up
from cairn.train.embed import Embedder
from cairn.train.finetune import network_of, start_weights
from cairn.train.head import fit_head
from cairn.train.history import lines
from cairn.train.jobs import FinetuneJob


@dataclass(frozen=True)
class Frozen:
    """An encoder as `start_weights` fills it."""

    network: NetworkConfig
    module: nn.Module


def probe(
    job: FinetuneJob, shards: Sequence[Path], labels: Path, weights: Sequence[Path], model: Path, history: Path,
    threads: int,
) -> dict[str, Any]:  # fmt: skip
    """Fit the probe of one encoder; returns facts for the card.

    Args:
        job: configuration.
        shards: indexes of the training data set.
        labels: its labels.
        weights: the encoder, or none: then it is the random start that `train.finetune.finetune` would have.
        model: encoder and head, written once at the end.
        history: JSON lines, the validation of every rate.
        threads: of torch.

    Raises:
        CairnError: for bad configuration, data, labels or weights.
    """
    device = set_up(job.device, threads, deterministic=True)
    labelled = labelled_cases(job.task, open_sessions(shards), labels)
    frozen = Frozen(network_of(job), build_model(network_of(job), False, derived_seed(job.seed, "weights")))
    loaded = start_weights(job, weights, frozen)
    encoder = frozen.module.encoder.to(device)
    embed = Embedder(encoder, device)
    classes = [class_index(job.task, c, label) for c, label in zip(labelled.cases, labelled.labels, strict=True)]
    features = np.stack([embed(case) for case in labelled.cases])
    head, facts, records = fit_head(features, classes, labelled.subjects, len(job.task.classes), job.probe, job.seed)
    tensors = {f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    tensors |= {f"head.{name}": torch.from_numpy(np.ascontiguousarray(array)) for name, array in head.items()}
    meta = {
        "kind": "model", "method": job.method, "task": job.task.model_dump(mode="json"),
        "network": frozen.network.model_dump(mode="json"), "facts": facts,
    }  # fmt: skip
    remove_left_overs(model.parent)
    save_weights(model, tensors, meta)
    write_text(history, lines(records))
    return {
        "weights": loaded, "fit": facts, "skipped": labelled.skipped, "model_sha256": sha256(model),
        **describe(device, True),
    }  # fmt: skip
