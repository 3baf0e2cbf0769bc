"""Predictions of one model on one data set. No label is read here, and none is among the job's inputs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cairn.baselines.apply import classical_embedder, classical_predictor
from cairn.config.base import Section, parse
from cairn.config.networks import NetworkConfig
from cairn.config.tasks import TaskSpec
from cairn.config.training import Device
from cairn.errors import CairnError
from cairn.io.atomic import sha256
from cairn.io.geometry import labels_to_native, probability_to_native
from cairn.io.nifti import write_scan
from cairn.io.sessions import Session, open_sessions
from cairn.io.tables import PREDICTION_COLUMNS, write_table
from cairn.nets.meta import read_meta
from cairn.predict.probe import EMBEDDINGS, MASKS, deep_embedder, write_embeddings
from cairn.tasks.cases import Case, make_case
from cairn.tasks.targets import Array
from cairn.train.head import apply_head

Predict = Callable[[Case], Array]


class PredictJob(Section):
    """Configuration of one prediction."""

    run: str
    """The run."""
    method: Literal["pretrained", "scratch", "classical"]
    """How the model was made."""
    task: TaskSpec
    """The task."""
    network: NetworkConfig | None = None
    """The network; none for classical runs."""
    seed: int = 0
    """Seed of the model; prediction draws nothing."""
    device: Device = "auto"
    """Where it runs."""


def predict(
    config: Mapping[str, Any], shards: Sequence[Path], model: Path, predictions: Path, threads: int
) -> dict[str, Any]:
    """Predict every session of the shards; returns facts for the card.

    A session that cannot be predicted gets a row whose status says why; the others go on. Masks lie in ``masks/``
    beside the table, on the native grid of the task's mask sequence; embeddings of a probe in ``embeddings.parquet``.

    Args:
        config: a `PredictJob` as plain data.
        shards: indexes of the data set.
        model: from fine-tuning.
        predictions: the table.
        threads: of torch.

    Raises:
        CairnError: when the model is another task's or another network's, or a file is damaged.
    """
    job = parse(PredictJob, config)
    meta = read_meta(model)
    check_model(job, meta, model)
    sessions = open_sessions(shards)
    folder = predictions.parent / MASKS
    shutil.rmtree(folder, ignore_errors=True)  # masks of an earlier run, whose table is gone
    embeddings: dict[str, Array] = {}
    predictor, threshold, facts = open_model(job, meta, model, threads, embeddings)
    rows = [predict_session(job.task, session, predictor, folder, threshold) for session in sessions]
    if job.task.kind == "probe":
        write_embeddings(predictions.parent / EMBEDDINGS, embeddings)
    write_table(predictions, rows, PREDICTION_COLUMNS)
    failed = {f"{r['subject']}/{r['session']}": r["status"] for r in rows if r["status"] != "ok"}
    return {"sessions": len(rows), "without_prediction": failed, "threshold": threshold, **facts}


def open_model(
    job: PredictJob, meta: Mapping[str, Any], model: Path, threads: int, embeddings: dict[str, Array]
) -> tuple[Predict, float, dict[str, Any]]:
    """A model as a function from a case to a prediction, the threshold of its masks, and facts for the card.

    Args:
        job: what the model must be for.
        meta: what the model says of itself.
        model: the file.
        threads: of torch.
        embeddings: of a probe, where they go as they come.
    """
    if job.task.kind == "probe":
        predictor, facts = probe_predictor(job, meta, model, threads, embeddings)
        return predictor, job.task.threshold, facts
    if job.method == "classical":
        return *classical_predictor(model, meta), {"device": "cpu"}
    from cairn.predict.deep import deep_predictor

    predictor, facts = deep_predictor(model, meta, job.device, threads)
    return predictor, job.task.threshold, facts


def probe_predictor(
    job: PredictJob, meta: Mapping[str, Any], model: Path, threads: int, embeddings: dict[str, Array]
) -> tuple[Predict, dict[str, Any]]:
    """A probe's function from a case to the probabilities of its classes; embeddings go to ``embeddings`` as they come.

    Returns:
        The function, and facts for the card.
    """
    embed: Predict
    if job.method == "classical":
        embed, head, facts = *classical_embedder(model, meta), {"device": "cpu"}
    else:
        embed, head, facts = deep_embedder(model, meta, job.device, threads)

    def predictor(case: Case) -> Array:
        embeddings[case.session.key] = embed(case)
        return apply_head(head, embeddings[case.session.key])

    return predictor, facts


def check_model(job: PredictJob, meta: Mapping[str, Any], path: Path) -> None:
    """Refuse a model that was made for something else.

    Raises:
        CairnError: naming what differs (code ``weights``).
    """
    network = job.network.model_dump(mode="json") if job.network else None
    task = meta.get("task", {})
    wanted = {"method": job.method, "task": job.task.name, "kind": job.task.kind, "network": network}
    given = {
        "method": meta.get("method"), "task": task.get("name"), "kind": task.get("kind"),
        "network": meta.get("network"),
    }  # fmt: skip
    for name, value in wanted.items():
        if given[name] != value:
            raise CairnError(f"{path}: {name} is {given[name]}, not {value}.", "Name this task's model.", "weights")


def predict_session(
    task: TaskSpec, session: Session, predictor: Predict, folder: Path, threshold: float
) -> dict[str, Any]:
    """A row of the table; a mask is written for a segmentation."""
    row: dict[str, Any] = {"subject": session.subject, "session": session.session, "status": "ok"}
    try:
        out = predictor(make_case(task, session))
    except CairnError as error:
        return row | {"status": str(error)}
    if not np.isfinite(out).all():
        return row | {"status": "the model gave NaN or infinity."}
    if task.kind == "probe":
        return row | {"value": " ".join(repr(float(p)) for p in out)}
    if task.kind != "segmentation":
        return row | {"value": repr(float(out))}
    geometry = session.geometry
    if task.classes:
        native = labels_to_native(out, geometry, task.mask_sequence)
    else:
        native = (probability_to_native(out, geometry, task.mask_sequence) >= threshold).astype(np.uint8)
    path = folder / f"sub-{session.subject}_ses-{session.session}_mask.nii.gz"
    write_scan(path, native, geometry.sequences[task.mask_sequence].native_affine)
    return row | {"mask": f"{MASKS}/{path.name}", "mask_sha256": sha256(path)}
