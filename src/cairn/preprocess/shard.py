"""One shard: every session of an index through `preprocess_session`, packed, with its quarantine and its QC.

Each session that is done is kept (`cairn.preprocess.kept`), so that a job that was killed loses no more than the one
it was at. Kept or fresh, a session's results take the same way: from its folder.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from cairn.config.preprocess import PreprocessConfig
from cairn.errors import CairnError
from cairn.io.atomic import disk_errors, sha256, write_bytes, write_json
from cairn.io.lock import exclusive
from cairn.io.members import content_hash, split_member
from cairn.io.nifti import write_scan
from cairn.io.opening import refuse_outside
from cairn.io.shard import PreprocessedSession, merge_shards, write_shard
from cairn.io.tables import (
    HASH_COLUMNS,
    INDEX_COLUMNS,
    MISSING,
    QUARANTINE_COLUMNS,
    SHARD_COLUMNS,
    read_table,
    write_table,
)
from cairn.preprocess.figure import session_picture
from cairn.preprocess.kept import LOCK, MADE, KeptSessions, MadeShard, Outcome, key_of, place, say, stamp
from cairn.preprocess.ledger import Rejection, SessionFailed
from cairn.preprocess.resources import Resources
from cairn.preprocess.scan_hash import session_hashes
from cairn.preprocess.sequence_model import SequenceModel, load_model
from cairn.preprocess.session import SessionResult, preprocess_session
from cairn.preprocess.unknown import Told, tell

Row = Mapping[str, str]

LIBRARIES = ("antspyx", "nibabel", "nilearn", "numpy", "pillow", "scipy", "torch")  # that results are made with
TENSORS = "session.safetensors"
HASHES = "hashes.tsv"


@dataclass(frozen=True)
class ShardPaths:
    """Where a shard's results go: the shard, its index, its quarantine, its QC numbers, the folder of its figures, the
    perceptual hashes of its volumes.
    """

    shard: Path
    shard_index: Path
    quarantine: Path
    qc: Path
    figures: Path
    hashes: Path

    @classmethod
    def within(cls, folder: Path) -> ShardPaths:
        """All in one folder."""
        return cls(*(folder / field.name for field in fields(cls)))


@dataclass(frozen=True)
class _Source:
    """What all sessions of a shard share."""

    root: Path
    config: PreprocessConfig
    resources: Resources
    model: SequenceModel | None = None
    model_sha256: str = ""


def preprocess_shard(
    index: Path, root: Path, config: PreprocessConfig, resources: Resources, paths: ShardPaths, state: Path, code: str,
    sequence_model: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Preprocess the sessions of one index table, from where a former process stopped if one did.

    A bad scan becomes a row of the quarantine and the rest goes on; `cairn.preprocess.accept` judges their share.

    Args:
        index: the shard's index of scans (docs/reference/contracts.md).
        root: folder that the index's paths are relative to.
        config: settings.
        resources: templates and networks.
        paths: where the results go.
        state: folder of what is done so far, outside every output; one process at a time works there.
        code: hash of the code; what other code made is not taken over.
        sequence_model: the model that tells unknown sequences, where the shard has such and the settings ask for it.

    Returns:
        Facts for the card: counts, and seconds by step.

    Raises:
        CairnError: code ``resource`` when an archive is missing, ``disk`` when there is no room.
    """
    model = (load_model(sequence_model), sha256(sequence_model)) if sequence_model else (None, "")
    what, source = f"preprocess {index}", _Source(root, config, resources, *model)
    with exclusive(state / LOCK, what), disk_errors(state / MADE):
        rows = read_table(index, INDEX_COLUMNS)
        good, doubles = _refuse_doubles(rows, root)
        jobs = _jobs(good, source, code)
        made, whole = MadeShard(state), key_of(index=sha256(index), sessions=list(jobs))
        facts = made.facts(whole)
        if facts is None:
            kept = KeptSessions(state, jobs)
            outcomes = _outcomes(jobs, kept, source, what)
            facts = _assemble(rows, doubles, outcomes, ShardPaths.within(made.folder))
            made.close(whole, facts)
            kept.clear()
        else:
            say(f"{what}: goes on: all of {len(jobs)} sessions are there already")
        _publish(ShardPaths.within(made.folder), paths)
    return facts


def listed_scans(index: Path, root: Path) -> dict[str, str]:
    """SHA-256 of each scan of an index, by path, as the index has it."""
    return {
        (root / row["path"]).as_posix(): row["sha256"]
        for row in read_table(index, INDEX_COLUMNS)
        if row["sha256"] != MISSING
    }


def _jobs(good: Iterable[Row], source: _Source, code: str) -> dict[str, list[Row]]:
    """Scans of each session, sorted, under a key of all that decides what becomes of them."""
    sessions: dict[tuple[str, str], list[Row]] = {}
    for row in good:
        sessions.setdefault((row["subject"], row["session"]), []).append(row)
    shared = key_of(
        config=source.config.model_dump(mode="json", exclude={"max_bad_share"}), code=code, root=str(source.root),
        packages=source.resources.fingerprint(), model=source.model_sha256,
        libraries={name: metadata.version(name) for name in LIBRARIES},
    )  # fmt: skip
    return {
        key_of(shared=shared, scans=scans, files=_stamps(scans, source)): scans for _, scans in sorted(sessions.items())
    }


def _stamps(scans: Sequence[Row], source: _Source) -> dict[str, Any]:
    files = {r["sequence"]: source.root / r["path"] for r in scans}
    masks = _given(files, source, scans[0]["subject"], scans[0]["session"])
    return {str(path): stamp(path) for path in (*files.values(), *masks.values())}


def _outcomes(jobs: Mapping[str, Sequence[Row]], kept: KeptSessions, source: _Source, what: str) -> list[Outcome]:
    """Every session's outcome: those that are there, then the others, done one by one."""
    there = {key: found for key in jobs if (found := kept.read(key))}
    if there:
        say(f"{what}: goes on: {len(there)} of {len(jobs)} sessions are there already")
    return [there.get(key) or kept.write(key, partial(_session, scans, source)) for key, scans in jobs.items()]


def _assemble(
    rows: Sequence[Row], doubles: Sequence[dict[str, str]], outcomes: Sequence[Outcome], paths: ShardPaths
) -> dict[str, Any]:
    """Make a shard's files of its sessions'."""
    quarantine = sorted(
        [*doubles, *(row for one in outcomes for row in one.quarantine)],
        key=lambda r: (r["subject"], r["session"], r["sequence"], r["path"]),
    )
    good = [(one, one.row) for one in outcomes if one.row]
    write_table(paths.quarantine, quarantine, QUARANTINE_COLUMNS)
    merge_shards(paths.shard, [one.folder / TENSORS for one, _ in good])
    whole = {"shard_sha256": sha256(paths.shard)}
    write_table(paths.shard_index, sorted((row | whole for _, row in good), key=_key), SHARD_COLUMNS)
    hashes = [row for one, _ in good for row in read_table(one.folder / HASHES, HASH_COLUMNS)]
    write_table(paths.hashes, sorted(hashes, key=lambda r: (_key(r), r["sequence"])), HASH_COLUMNS)
    numbers = {_key(row): one.numbers for one, row in good}
    write_json(paths.qc, {"format": 1, "dataset": rows[0]["dataset"] if rows else MISSING, "sessions": numbers})
    paths.figures.mkdir(parents=True, exist_ok=True)
    for one, _ in good:
        for name in (one.numbers["figure"], one.numbers["native_mask"]):
            place(one.folder / name, paths.figures / name)
    steps = dict.fromkeys(step for one in outcomes for step in one.seconds)
    return {
        "scans": len(rows), "quarantined": len(quarantine), "sessions": len(good),
        "seconds": {step: round(sum(one.seconds.get(step, 0.0) for one in outcomes), 2) for step in steps},
    }  # fmt: skip


def _publish(made: ShardPaths, paths: ShardPaths) -> None:
    _fresh(paths.figures)
    for figure in sorted(made.figures.iterdir()):
        place(figure, paths.figures / figure.name)
    for name in ("shard", "shard_index", "quarantine", "hashes", "qc"):
        place(getattr(made, name), getattr(paths, name))


def _fresh(folder: Path) -> None:
    """An empty folder: a figure of a former run must not outlive its session."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _refuse_doubles(rows: Sequence[Row], root: Path) -> tuple[list[Row], list[dict[str, str]]]:
    """Quarantine what stands in the index twice, by name or by content; the first of each stays."""
    names: dict[tuple[str, ...], str] = {}
    contents: dict[str, str] = {}
    good, quarantine = [], []
    for row in rows:
        name = (row["subject"], row["session"], row["sequence"])
        twin, same = names.get(name), contents.get(row["sha256"]) if row["sha256"] != MISSING else None
        if twin is not None:
            reason = f"'{root / twin}' is {row['sequence']} of this session too."
            remedy = "Keep one scan, or number the repeats (T1w_2)."
            quarantine.append(_quarantined(row, root, "duplicate", reason, remedy))
        elif same is not None:
            reason = f"the same bytes as '{root / same}'."
            remedy = "Remove the copy: one scan must not count twice."
            quarantine.append(_quarantined(row, root, "duplicate", reason, remedy))
        else:
            names[name], contents[row["sha256"]] = row["path"], row["path"]
            good.append(row)
    return good, quarantine


def _session(rows: Sequence[Row], source: _Source, folder: Path) -> dict[str, Any]:
    """Preprocess one session into ``folder``; what else its `Outcome` holds."""
    good, quarantine = _unchanged(rows, source.root, source.config.guard.follow_links)
    files = {r["sequence"]: source.root / r["path"] for r in good}
    told = tell(files, source.config.unknown_sequences, source.model, source.config.guard)
    by_sequence = {told.names.get(r["sequence"], r["sequence"]): r for r in rows}
    nothing: dict[str, Any] = {"quarantine": quarantine, "row": None, "numbers": {}, "seconds": {}}
    if not files:
        return nothing
    subject, session = rows[0]["subject"], rows[0]["session"]

    def reject(rejected: Iterable[Rejection]) -> None:
        for r in rejected:
            quarantine.append(_quarantined(by_sequence[r.sequence], source.root, r.code, r.reason, r.remedy))

    try:
        given = {told.names[s]: mask for s, mask in _given(files, source, subject, session).items()}
        files = {told.names[s]: path for s, path in files.items()}
        result = preprocess_session(files, source.config, source.resources, subject, session, given)
    except SessionFailed as failed:
        reject(failed.rejected)
        return nothing
    reject(result.rejected)
    name = f"sub-{subject}_ses-{session}"
    _write_session(result, source, folder, name)
    found = session_hashes(result.session)
    hashes = [{**by_sequence[s], "hash": h} for s, h in found.items()]
    write_table(folder / HASHES, hashes, HASH_COLUMNS)
    return {
        "quarantine": quarantine, "row": _index_row(result.session, told),
        "numbers": _numbers(result, by_sequence, name) | ({"classified": told.said} if told.said else {}),
        "seconds": result.seconds,
    }  # fmt: skip


def _write_session(result: SessionResult, source: _Source, folder: Path, name: str) -> None:
    mask, geometry = result.session.mask, result.session.geometry
    template = source.resources.brain if source.config.grid.align != "none" else None
    picture = session_picture(result.pictures, mask, geometry, template, source.config.strip.method == "none")
    write_shard(folder / TENSORS, [result.session])
    write_bytes(folder / f"{name}.jpg", picture)
    write_scan(folder / f"{name}_mask.nii.gz", result.native_mask.astype(np.uint8), result.native_affine)


def _numbers(result: SessionResult, rows: Mapping[str, Row], name: str) -> dict[str, Any]:
    first = rows[result.reference]
    return result.numbers | {
        "site": first["site"],
        "figure": f"{name}.jpg",
        "native_mask": f"{name}_mask.nii.gz",
        "sha256": {s: rows[s]["sha256"] for s in result.session.volumes},
    }


def _unchanged(rows: Iterable[Row], root: Path, follow_links: bool) -> tuple[list[Row], list[dict[str, str]]]:
    """Rows whose file lies below ``root`` and is the one that was indexed; the reader names what cannot be read."""
    good, quarantine = [], []
    for row in rows:
        path = root / row["path"]
        try:
            if not follow_links:
                refuse_outside(split_member(path)[0], root)
        except CairnError as error:
            quarantine.append(_quarantined(row, root, error.code, error.reason, error.remedy))
            continue
        if row["sha256"] != MISSING and content_hash(path) not in (None, row["sha256"]):
            reason = "the file is not the one that was indexed (its content changed)."
            quarantine.append(
                _quarantined(row, root, "changed", reason, "Index the data set again, or restore the file.")
            )
        else:
            good.append(row)
    return good, quarantine


def _given(files: Mapping[str, Path], source: _Source, subject: str, session: str) -> dict[str, Path]:
    if source.config.strip.method != "given":
        return {}
    pattern = source.config.strip.given_pattern
    return {s: source.root / pattern.format(subject=subject, session=session, sequence=s) for s in files}


def _quarantined(row: Row, root: Path, code: str, reason: str, remedy: str) -> dict[str, str]:
    path = str(root / row["path"])
    named = reason if path in reason.split("'")[0] else f"{path}: {reason}"
    columns = ("dataset", "subject", "session", "sequence", "path")
    return {**{c: row[c] for c in columns}, "code": code, "reason": named, "remedy": remedy}


def _key(row: Row) -> str:
    return f"{row['subject']}/{row['session']}"


def _index_row(session: PreprocessedSession, told: Told) -> dict[str, str]:
    """A session's row of the index, without the shard's hash."""
    return {
        "subject": session.subject, "session": session.session, "sequences": ",".join(session.volumes),
        "shape": "x".join(map(str, session.geometry.shape)), "session_sha256": _session_hash(session),
        "classified": told.column or MISSING,
    }  # fmt: skip


def _session_hash(session: PreprocessedSession) -> str:
    """SHA-256 over a session's tensors as stored, so that a consumer sees which session of a shard changed."""
    digest = hashlib.sha256(np.ascontiguousarray(session.mask, np.uint8).tobytes())
    for name, volume in session.volumes.items():
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(volume, np.float16).tobytes())
    return digest.hexdigest()
