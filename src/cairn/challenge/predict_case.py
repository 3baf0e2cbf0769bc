"""One case, from raw scans to the file that a contract asks for: the functions of the pipeline, in their order."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cairn.challenge.bundle import Bundle
from cairn.challenge.contract import suffix_of
from cairn.config.tasks import TaskSpec
from cairn.config.training import Device
from cairn.errors import CairnError
from cairn.io.atomic import atomic_path, write_text
from cairn.io.sessions import Session
from cairn.io.shard import Shard, write_shard
from cairn.nets.meta import read_meta
from cairn.predict.run import check_model, open_model, predict_session
from cairn.preprocess.ledger import SessionFailed
from cairn.preprocess.resources import Resources
from cairn.preprocess.session import SessionResult, preprocess_session
from cairn.tasks.cases import choose_sequences
from cairn.tasks.targets import Array

SUBJECT, SESSION = "case", "1"


class Unusable(CairnError):  # noqa: N818
    """No scan of the case can be used, or not the one that its mask belongs on."""


@dataclass(frozen=True)
class Predicted:
    """What came of a case.

    Attributes:
        value: of a number, as the pipeline writes it; of a probe, the probabilities of its classes.
        used: sequences that the answer rests on.
        notes: scans that could not be used, and why.
        made: what preprocessing gave: for a picture.
    """

    value: str
    used: tuple[str, ...]
    notes: tuple[str, ...]
    made: SessionResult


def predict_case(
    bundle: Bundle, scans: Mapping[str, Path], out: Path, threads: int = 1, device: Device | None = None
) -> Predicted:
    """Predict one case and write the answer; nothing is written unless it is whole.

    With all sequences of the task the answer is the pipeline's, byte for byte. With fewer, a network answers from those
    there are, and a mask lies on the grid of the first of them in the task's order; a classical model has learned from
    whole cases, and refuses others. A scan that cannot be used counts as not given, but a mask's own scan must be
    sound.

    Args:
        bundle: the model and all that it needs.
        scans: raw scans by sequence.
        out: the file: ``.txt`` for a number, ``.nii.gz`` for a mask, ``.npy`` for an embedding.
        threads: of torch; the pipeline works with 1, and another number may change the last digits.
        device: ``auto``, ``cpu`` or ``cuda``; default: as the bundle says.

    Raises:
        Unusable: where the scans themselves are at fault.
        CairnError: naming what else is wrong, and what to do.
    """
    task = bundle.job.task
    if not out.name.endswith(suffix_of(task.kind)):
        reason = f"{out}: the answer of task '{task.name}' is a {suffix_of(task.kind)} file."
        raise CairnError(reason, "Name it so.", "output")
    if not scans:
        raise CairnError("No scan was given.", f"Task '{task.name}' takes {_wanted(task)}.", "sequences")
    job = bundle.job.model_copy(update={"device": device or bundle.job.device})
    meta = read_meta(bundle.model)
    check_model(job, meta, bundle.model)
    try:
        made = preprocess_session(scans, bundle.preprocess, Resources(bundle.resources), SUBJECT, SESSION)
    except SessionFailed as failed:
        faults = "; ".join(f"{r.path}: {r.reason}" for r in failed.rejected)
        raise Unusable(f"No scan can be used ({faults}).", failed.rejected[0].remedy, "session") from None
    notes = tuple(f"{r.sequence} was left out: {r.reason} {r.remedy}" for r in made.rejected)
    embeddings: dict[str, Array] = {}
    predictor, threshold, _ = open_model(job, meta, bundle.model, threads, embeddings)
    usable = sorted(made.session.volumes)
    asked = task if job.method == "classical" else with_what_there_is(task, usable)
    for r in made.rejected:
        if r.sequence == task.mask_sequence:  # a mask on another scan's grid would be taken for this one's
            raise Unusable(f"The mask belongs on a scan that cannot be used: {r.reason}", r.remedy, r.code)
    with tempfile.TemporaryDirectory(prefix="cairn-") as place:
        shard = Path(place) / "case.safetensors"  # the very form, float16, in which the pipeline's sessions are read
        write_shard(shard, [made.session])
        session = Session(SUBJECT, SESSION, Shard(shard))
        row = predict_session(asked, session, predictor, Path(place) / "masks", threshold)
        if row["status"] != "ok":
            said = " ".join([f"Task '{task.name}': the case {row['status']}", *notes])
            raise CairnError(said, f"The task takes {_wanted(task)}.", "case")
        _write(task, row, embeddings, Path(place), out)
    return Predicted(str(row.get("value", "")), choose_sequences(asked, usable), notes, made)


def with_what_there_is(task: TaskSpec, usable: list[str]) -> TaskSpec:
    """The task, asking only for sequences that a case has; all of them there, it is the task itself.

    Raises:
        CairnError: when it has none that the task knows (code ``sequences``).
    """
    named = [name for name in task.sequences if name in usable]
    if not named:
        reason = f"Task '{task.name}' takes {_wanted(task)}; the case has {', '.join(usable)}."
        raise CairnError(reason, "Give one that it takes.", "sequences")
    groups = tuple(group for group in task.any_of if any(name in usable for name in group))
    changes: dict[str, object] = {"required": tuple(n for n in task.required if n in usable), "any_of": groups}
    if task.mask_sequence and task.mask_sequence not in usable:
        changes["mask_sequence"] = named[0]
    return task.model_copy(update=changes)


def _write(task: TaskSpec, row: Mapping[str, str], embeddings: Mapping[str, Array], place: Path, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    if task.kind == "segmentation":
        with atomic_path(out) as temporary:
            shutil.copyfile(place / row["mask"], temporary)
    elif task.kind == "probe":
        (vector,) = embeddings.values()
        with atomic_path(out) as temporary, temporary.open("wb") as file:
            np.save(file, np.asarray(vector, np.float32), allow_pickle=False)
    else:
        write_text(out, f"{row['value']}\n")


def _wanted(task: TaskSpec) -> str:
    groups = [" or ".join(group) for group in task.any_of]
    return ", ".join([*task.required, *groups, *(f"{name} (optional)" for name in task.optional)])
