"""Predictions of one head on one set of features. No target is read here, and none is among the job's inputs."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.bench.answers import answers, same_maker
from cairn.bench.beside import FIELDS
from cairn.bench.features import Features
from cairn.bench.inputs import head_inputs
from cairn.bench.items import PAIR_COLUMNS
from cairn.config.bench import PUBLISHED, BenchTask, HeadJob
from cairn.errors import CairnError
from cairn.io.atomic import sha256
from cairn.io.shard import read_arrays
from cairn.io.tables import PREDICTION_COLUMNS, read_table, write_table
from cairn.nets.meta import read_meta

Array = npt.NDArray[Any]


def predict_head(
    job: HeadJob, features: Features, head: Path, predictions: Path, pairs: Path | None = None, threads: int = 1
) -> dict[str, Any]:
    """Predict every item of a features file, or every pair of a table of pairs.

    A value is a probability, years or a risk; of a probe and of findings one probability a class, apart by spaces. A
    registration's fields lie in ``fields/`` beside the table, named in its mask columns.

    Args:
        job: the task.
        features: of the test items.
        head: from `cairn.bench.fit.fit_head`.
        predictions: the table.
        pairs: registration: who is moved onto whom (columns ``subject session moving fixed``).
        threads: of torch.

    Returns:
        Facts for the card.

    Raises:
        CairnError: when the head is another task's or another encoder's, people of a published test set were in its
            training (code ``leak``), or a file is damaged.
    """
    if job.task.kind == "registration" or job.task.frozen.head == "attention":
        import torch  # takes seconds, and other heads do without

        torch.set_num_threads(threads)
    meta = read_meta(head)
    check_head(job.task, meta, head)
    found = same_maker(features, meta["features"])
    known = set(meta["people"]) & {key.split("/", 1)[0] for key in features.keys} if features.form == PUBLISHED else ()
    if known:
        reason = f"{features.path}: {len(known)} people of the test were in training, such as {min(known)}."
        raise CairnError(reason, "Check 'published.subject', and which splits the task names.", "leak")
    tensors = read_arrays(head)
    if job.task.kind == "registration":
        if pairs is None:
            raise CairnError(
                f"{job.task.name}: no table of pairs.", "Give the one that lies beside the items.", "pairs"
            )
        rows = _fields(job.task, found, tensors, read_table(pairs, PAIR_COLUMNS), predictions.parent / FIELDS)
    else:
        rows = value_rows(job.task, found, tensors)
    write_table(predictions, rows, PREDICTION_COLUMNS)
    failed = {f"{r['subject']}/{r['session']}": r["status"] for r in rows if r["status"] != "ok"}
    return {"items": len(rows), "without_prediction": failed}


def check_head(task: BenchTask, meta: Mapping[str, Any], path: Path) -> None:
    """Refuse a head that was fitted for something else; only the items of the test may differ from the training's.

    Raises:
        CairnError: naming what differs (code ``weights``).
    """
    if meta.get("kind") != "head":
        raise CairnError(f"{path}: no head.", "Name the file that fit_head wrote.", "weights")
    wanted, given = task.model_dump(mode="json"), meta["task"]
    odd = sorted(k for k in wanted if given.get(k) != wanted[k])
    if odd:
        raise CairnError(f"{path}: its task differs in {', '.join(odd)}.", "Fit the head again.", "weights")


def value_rows(task: BenchTask, features: Features, head: Mapping[str, Array]) -> list[dict[str, Any]]:
    """A row of the table for every item."""
    found = answers(task, head, head_inputs(features, features.keys, task.frozen))
    rows = []
    for key, value in zip(features.keys, found, strict=True):
        subject, session = key.split("/", 1)
        row = {"subject": subject, "session": session, "status": "ok"}
        if not np.isfinite(value).all():
            rows.append(row | {"status": "the head gave NaN or infinity."})
            continue
        rows.append(row | {"value": " ".join(repr(float(v)) for v in np.atleast_1d(value))})
    return rows


def _fields(
    task: BenchTask, features: Features, head: dict[str, Array], pairs: list[dict[str, str]], folder: Path
) -> list[dict[str, Any]]:
    """A row and a field for every pair."""
    from cairn.bench.registration import feature_grid, register, write_field

    shutil.rmtree(folder, ignore_errors=True)  # fields of an earlier run, whose table is gone
    recipe, rows = task.frozen.registration, []
    for pair in pairs:
        moving, fixed = (
            feature_grid(features.read("patches", pair[side]), head, recipe.grid) for side in ("moving", "fixed")
        )
        path = folder / f"sub-{pair['subject']}_ses-{pair['session']}_field.safetensors"
        write_field(path, register(moving, fixed, recipe))
        rows.append({
            "subject": pair["subject"], "session": pair["session"], "mask": f"{FIELDS}/{path.name}",
            "mask_sha256": sha256(path), "status": "ok",
        })  # fmt: skip
    return rows
