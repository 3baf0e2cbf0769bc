"""Fit the classical model of a task and write it: arrays in safetensors, no pickle."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cairn.baselines.features import session_features
from cairn.baselines.tabular import Array, fit_tabular
from cairn.baselines.voxels import fit_classes, fit_voxels
from cairn.errors import CairnError
from cairn.io.atomic import atomic_path, sha256, write_text
from cairn.io.sessions import open_sessions
from cairn.nets.meta import pack_meta
from cairn.tasks.cases import labelled_cases
from cairn.tasks.targets import class_index, class_label, grid_labels, grid_mask, number_label
from cairn.train.head import fit_head
from cairn.train.jobs import FinetuneJob


def fit_classical(
    job: FinetuneJob, shards: Sequence[Path], labels: Path, weights: Sequence[Path], model: Path, history: Path
) -> dict[str, Any]:
    """Fit on all labelled cases (cross-validation has chosen the penalty); returns facts for the card.

    Raises:
        CairnError: for bad data or labels, or when weights are given, which no classical model can use.
    """
    if weights:
        reason = f"run '{job.run}': a classical model starts from no weights."
        raise CairnError(reason, "Leave them out.", code="weights")
    task = job.task
    labelled = labelled_cases(task, open_sessions(shards), labels)
    pairs = list(zip(labelled.cases, labelled.labels, strict=True))
    arrays: dict[str, Array]
    if task.kind == "segmentation":
        read_mask, fit = (grid_labels, fit_classes) if task.classes else (grid_mask, fit_voxels)
        masks = [read_mask(task, case, label) for case, label in pairs]
        arrays, facts, records = fit(task, labelled.cases, masks, job.seed, job.finetune.classical_max_voxels)
    elif task.kind == "probe":
        classes = [class_index(task, case, label) for case, label in pairs]
        features = np.stack([session_features(task, case) for case in labelled.cases])
        arrays, facts, records = fit_head(
            features, classes, labelled.subjects, len(task.classes), job.probe, job.seed
        )  # fmt: skip
    else:
        read = class_label if task.kind == "classification" else number_label
        targets = np.array([float(read(case, label)) for case, label in pairs])
        arrays, facts, records = fit_tabular(task, labelled.cases, targets, job.seed)
    write_model(model, arrays, job, facts)
    write_text(history, "".join(f"{json.dumps(r)}\n" for r in records))
    return {"fit": facts, "cases": len(pairs), "skipped": labelled.skipped, "model_sha256": sha256(model)}


def write_model(path: Path, arrays: dict[str, Array], job: FinetuneJob, facts: dict[str, Any]) -> None:
    """Write the arrays with what prediction must know."""
    from safetensors.numpy import save_file

    meta = {"kind": "model", "method": job.method, "task": job.task.model_dump(mode="json"), "network": None}
    plain = {name: np.ascontiguousarray(a, np.float64) for name, a in sorted(arrays.items())}
    with atomic_path(path) as temporary:
        save_file(plain, temporary, metadata=pack_meta({**meta, "facts": facts}))
