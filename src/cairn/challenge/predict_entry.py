"""Predictions of an entry on a data set, case by case. No label of the test is read here, and none is among the inputs.

Whatever an entry does to one case costs it that case: the status of its row says why, and evaluation counts the worst
answer there. A few cases are asked twice; one that is not answered alike has no answer. A probe is an embedding: the
organiser fits the head, to the labelled training set, as for every run.
"""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.challenge.entry import Answer, Entry, answer
from cairn.challenge.outputs import OK, printable, refused
from cairn.config.base import parse
from cairn.config.challenge import EntryJob
from cairn.datasets.labels import class_of
from cairn.errors import CairnError
from cairn.io.atomic import sha256, write_text
from cairn.io.members import split_member
from cairn.io.nifti import open_header, write_scan
from cairn.io.opening import refuse_outside
from cairn.io.tables import INDEX_COLUMNS, MISSING, PREDICTION_COLUMNS, read_table, write_table
from cairn.predict.probe import EMBEDDINGS, MASKS, write_embeddings
from cairn.sandbox.image import open_image
from cairn.sandbox.run import engine_for
from cairn.tasks.cases import read_labels
from cairn.train.head import Head, apply_head, fit_head

Vector = npt.NDArray[np.float32]
Row = dict[str, Any]
CASES, LOGS = "cases.tsv", "logs"
CASE_COLUMNS = (
    "part", "subject", "session", "verdict", "exit_code", "wall_s", "peak_memory_mb", "output_bytes", "sentence",
)  # fmt: skip
OTHER_SIZE, CHANGING = "embedding-size", "changing"
LEAST_SUBJECTS = 4


@dataclass(frozen=True)
class Listed:
    """One session of an index: its scans and their hashes, by sequence."""

    subject: str
    session: str
    scans: dict[str, Path] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """``subject/session``."""
        return f"{self.subject}/{self.session}"


@dataclass(frozen=True)
class Training:
    """What the head of a probe is fitted to: indexes and folder of the training set, and its labels."""

    indexes: Sequence[Path]
    root: Path
    labels: Path


@dataclass
class Asked:
    """An entry with what it was asked: a row and a log for each case."""

    entry: Entry
    work: Path
    logs: Path
    follow_links: bool
    repeat: int = 0
    """Cases of the test that are still to be asked twice."""
    rows: list[Row] = field(default_factory=list)
    repeated: dict[str, list[str]] = field(default_factory=lambda: {"agree": [], "differ": []})

    def ask(self, part: str, session: Listed, root: Path) -> Answer | CairnError:
        """Ask about one session; an error is no fault of the entry."""
        row: Row = {"part": part, "subject": session.subject, "session": session.session}
        try:
            if not self.follow_links:
                for path in session.scans.values():
                    refuse_outside(split_member(path)[0], root)
            found = answer(self.entry, session.scans, self.work, session.hashes)
            if part == "test" and self.repeat > 0:
                self.repeat -= 1
                found = self._again(found, session)
        except CairnError as error:
            if error.code == "engine":
                raise
            self.rows.append(row | {"verdict": "not-asked", "sentence": str(error)})
            return error
        run = found.outcome
        self.rows.append(row | {
            "verdict": found.verdict, "exit_code": run.exit_code, "wall_s": round(run.wall_s, 2),
            "peak_memory_mb": round(run.peak_memory_mb), "output_bytes": run.output_bytes,
            "sentence": printable(found.sentence),
        })  # fmt: skip
        write_text(self.logs / part / f"sub-{session.subject}_ses-{session.session}.log", run.log)
        return found

    def _again(self, first: Answer, session: Listed) -> Answer:
        """The first answer where a second is the same; else one that counts as none."""
        if first.checked is None or not first.checked.ok:
            return first
        second = answer(self.entry, session.scans, self.work, session.hashes)
        if second.checked is None or not second.checked.ok:
            self.repeated["differ"].append(f"{session.key}: {second.verdict}")
        elif second.checked.content != first.checked.content:
            self.repeated["differ"].append(session.key)
        else:
            self.repeated["agree"].append(session.key)
            return first
        return replace(first, checked=refused(CHANGING, "asked twice, it did not answer alike."))

    def facts(self) -> dict[str, Any]:
        """Counts of verdicts; the slowest case and the largest memory; cases that were asked twice."""
        ran = [row for row in self.rows if "wall_s" in row]
        return {
            "verdicts": dict(sorted(Counter(row["verdict"] for row in self.rows).items())),
            "slowest_s": max((row["wall_s"] for row in ran), default=0.0),
            "most_memory_mb": max((row["peak_memory_mb"] for row in ran), default=0),
            "repeated": self.repeated,
        }


def run_job(
    config: Mapping[str, Any], image: Path, indexes: Sequence[Path], root: Path, predictions: Path, state: Path,
    train_indexes: Sequence[Path] = (), train_root: Sequence[Path] = (), train_labels: Sequence[Path] = (),
) -> tuple[dict[str, str], list[Path], dict[str, Any]]:  # fmt: skip
    """Run one entry on one task as the workflow asks for it.

    Returns:
        For the card: what was read, by path (scans as their indexes have them, the image by its digest), the files that
        numbers may rest on, and facts.

    Raises:
        CairnError: as `predict_entry`; for an image that cannot be opened, or that changed while it ran.
    """
    job = parse(EntryJob, config)
    how = job.challenge
    opened = open_image(image, how.base)
    engine = engine_for(opened, how.engine)
    digest = opened.digest()
    entry = Entry(opened, job.task, how.contract, how.policy, engine, eldest_years=math.inf)  # evaluation judges ages
    training = Training(train_indexes, train_root[0], train_labels[0]) if train_labels else None
    facts = predict_entry(job, entry, indexes, root, predictions, state, training)
    if opened.digest() != digest:
        raise CairnError(f"{image}: changed while it was run.", "Leave it alone, and run again.", "changed")
    read = [*list_sessions(indexes, root), *(s for place in train_root for s in list_sessions(train_indexes, place))]
    known = {session.scans[name].as_posix(): sha for session in read for name, sha in session.hashes.items()}
    made = [p for p in (predictions, predictions.parent / MASKS, predictions.parent / EMBEDDINGS) if p.exists()]
    return known | {image.as_posix(): digest}, made, {"image": image.as_posix(), "engine": engine, **facts}


def predict_entry(
    job: EntryJob, entry: Entry, indexes: Sequence[Path], root: Path, predictions: Path, state: Path,
    training: Training | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Ask an entry about every session of a data set; returns facts for the card.

    Beside the table lie, for the organiser, ``cases.tsv`` (how each run went) and ``logs/`` (what each wrote, up to the
    policy's cap). They hold times, and so no number rests on them.

    Args:
        job: configuration.
        entry: the image, and how it is asked.
        indexes: indexes of scans of the data set's shards.
        root: folder that their paths start from.
        predictions: the table; masks lie in ``masks/`` beside it, a probe's embeddings in ``embeddings.parquet``.
        state: folder for what comes and goes.
        training: of a probe, what its head is fitted to.

    Raises:
        CairnError: for an index that is missing or damaged, and where nothing here can run the image (code ``engine``);
            never for what the entry does.
    """
    folder = predictions.parent
    for left in (MASKS, LOGS):
        shutil.rmtree(folder / left, ignore_errors=True)
    state.mkdir(parents=True, exist_ok=True)
    asked = Asked(entry, state, folder / LOGS, job.follow_links, job.challenge.repeat_cases)
    sessions = list_sessions(indexes, root)
    facts: dict[str, Any] = {}
    if job.task.kind == "probe":
        rows, facts = _probed(job, asked, sessions, root, training, folder)
    else:
        rows = [_predicted(asked, session, root, folder) for session in sessions]
    write_table(folder / CASES, asked.rows, CASE_COLUMNS)
    write_table(predictions, rows, PREDICTION_COLUMNS)
    return {"sessions": len(rows), **asked.facts(), **facts}


def list_sessions(indexes: Iterable[Path], root: Path) -> list[Listed]:
    """Sessions of an index of scans, sorted; of two scans of one name the first counts, as in preprocessing."""
    found: dict[tuple[str, str], Listed] = {}
    for row in (row for index in indexes for row in read_table(index, INDEX_COLUMNS)):
        session = found.setdefault((row["subject"], row["session"]), Listed(row["subject"], row["session"]))
        if row["sequence"] not in session.scans:
            session.scans[row["sequence"]] = root / row["path"]
            if row["sha256"] != MISSING:
                session.hashes[row["sequence"]] = row["sha256"]
    return [found[key] for key in sorted(found)]


def _row(session: Listed, status: str = OK) -> Row:
    return {"subject": session.subject, "session": session.session, "status": status}


def _predicted(asked: Asked, session: Listed, root: Path, folder: Path) -> Row:
    """A row of the table. A mask is written anew on its scan's grid, so that equal answers are equal files."""
    found = asked.ask("test", session, root)
    if isinstance(found, CairnError):
        return _row(session, str(found))
    if found.checked is None or not found.checked.ok:
        return _row(session, found.verdict)
    if found.checked.labels is None:
        return _row(session) | {"value": repr(found.checked.value)}
    path = folder / MASKS / f"sub-{session.subject}_ses-{session.session}_mask.nii.gz"
    write_scan(path, found.checked.labels, open_header(session.scans[asked.entry.task.mask_sequence])[2])
    return _row(session) | {"mask": f"{MASKS}/{path.name}", "mask_sha256": sha256(path)}


def _embedded(asked: Asked, part: str, sessions: Iterable[Listed], root: Path) -> dict[str, Vector | str]:
    """By session key, the embedding, or why there is none."""
    found: dict[str, Vector | str] = {}
    for session in sessions:
        said = asked.ask(part, session, root)
        if isinstance(said, CairnError):
            found[session.key] = str(said)
        elif said.checked is None or said.checked.vector is None:
            found[session.key] = said.verdict
        else:
            found[session.key] = said.checked.vector
    return found


def _probed(
    job: EntryJob, asked: Asked, sessions: Sequence[Listed], root: Path, training: Training | None, folder: Path
) -> tuple[list[Row], dict[str, Any]]:
    """Rows of a probe: the entry embeds training and test sessions, and a head is fitted here."""
    assert training is not None, "a probe is fitted to a training set"
    head, facts = _head(job, asked, training)
    size = 0 if isinstance(head, str) else len(head["mean"])
    found = _embedded(asked, "test", sessions, root) if size else {}
    rows, kept = [], {}
    for session in sessions:
        vector = found.get(session.key, f"no head: {head}")
        if isinstance(vector, str) or isinstance(head, str):
            rows.append(_row(session, str(vector)))
        elif len(vector) != size:
            rows.append(_row(session, OTHER_SIZE))
        else:
            kept[session.key] = vector
            rows.append(_row(session) | {"value": " ".join(repr(float(p)) for p in apply_head(head, vector))})
    write_embeddings(folder / EMBEDDINGS, kept)
    return rows, facts


def _head(job: EntryJob, asked: Asked, training: Training) -> tuple[Head | str, dict[str, Any]]:
    """The head fitted to the entry's embeddings of the training set, or why there is none; facts for the card."""
    assert job.probe is not None, "a probe has a recipe"
    labels = read_labels(training.labels)
    listed = {s.key: s for s in list_sessions(training.indexes, training.root) if s.key in labels}
    found = _embedded(asked, "training", listed.values(), training.root)
    vectors = {key: v for key, v in found.items() if not isinstance(v, str)}
    sizes = Counter(len(v) for v in vectors.values())
    size = max(sizes, key=lambda n: (sizes[n], n)) if sizes else 0
    keys = [key for key, v in vectors.items() if len(v) == size]
    subjects = [listed[key].subject for key in keys]
    left_out = {key: found[key] if key not in vectors else OTHER_SIZE for key in listed if key not in keys}
    facts = {"trained_on": len(keys), "left_out_of_training": left_out}
    if len(set(subjects)) < LEAST_SUBJECTS:
        return f"embeddings of {len(set(subjects))} training subjects, and it takes {LEAST_SUBJECTS}", facts
    classes = [class_of(labels[key].value, job.task.classes, job.task.edges) for key in keys]
    try:
        head, fit, _ = fit_head(
            np.stack([vectors[key] for key in keys]), classes, subjects, len(job.task.classes), job.probe, job.seed
        )
    except CairnError as error:
        return str(error), facts
    return head, {**facts, "fit": fit}
