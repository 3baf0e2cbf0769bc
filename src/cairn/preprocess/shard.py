"""One shard: every session of an index through `preprocess_session`, packed, with its quarantine and its QC."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cairn.config.preprocess import PreprocessConfig
from cairn.errors import CairnError
from cairn.io.atomic import sha256, write_bytes, write_json
from cairn.io.nifti import write_scan
from cairn.io.shard import PreprocessedSession, write_shard
from cairn.io.tables import (
    INDEX_COLUMNS,
    MISSING,
    QUARANTINE_COLUMNS,
    SHARD_COLUMNS,
    read_table,
    write_table,
)
from cairn.preprocess.figure import session_picture
from cairn.preprocess.ledger import SessionFailed
from cairn.preprocess.resources import Resources
from cairn.preprocess.session import SessionResult, preprocess_session

Row = Mapping[str, str]

REASONS_SHOWN = 20


@dataclass(frozen=True)
class ShardPaths:
    """Where a shard's results go: the shard, its index, its quarantine, its QC numbers, the folder of its figures."""

    shard: Path
    index: Path
    quarantine: Path
    qc: Path
    figures: Path


@dataclass
class _Made:
    sessions: list[PreprocessedSession] = field(default_factory=list)
    quarantine: list[dict[str, str]] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def preprocess_shard(
    index: Path, root: Path, config: PreprocessConfig, resources: Resources, paths: ShardPaths
) -> dict[str, Any]:
    """Preprocess the sessions of one index table.

    A bad scan becomes a row of the quarantine and the rest goes on.

    Args:
        index: the shard's index of scans (docs/reference/contracts.md).
        root: folder that the index's paths are relative to.
        config: settings.
        resources: templates and networks.
        paths: where the results go.

    Returns:
        Facts for the card: counts, and seconds by step.

    Raises:
        CairnError: code ``shard-bad`` when more than ``config.max_bad_share`` of the scans are quarantined (naming
            them, for a failed job's outputs are deleted); ``resource`` when an archive is missing.
    """
    rows = read_table(index, INDEX_COLUMNS)
    made = _Made()
    good = _refuse_doubles(rows, root, made)
    _fresh(paths.figures)
    for key in sorted({(r["subject"], r["session"]) for r in good}):
        scans = [r for r in good if (r["subject"], r["session"]) == key]
        _session(scans, root, config, resources, paths.figures, made)
    made.quarantine.sort(key=lambda r: (r["subject"], r["session"], r["sequence"], r["path"]))
    write_table(paths.quarantine, made.quarantine, QUARANTINE_COLUMNS)
    if len(made.quarantine) > config.max_bad_share * len(rows):
        why = "; ".join(row["reason"] for row in made.quarantine[:REASONS_SHOWN])
        raise CairnError(
            f"{index}: {len(made.quarantine)} of {len(rows)} scans are unusable, more than {config.max_bad_share:.0%}; "
            f"the first {min(len(made.quarantine), REASONS_SHOWN)}: {why}",
            "Mend or remove these scans, or raise preprocess.max_bad_share.", "shard-bad",
        )  # fmt: skip
    write_shard(paths.shard, made.sessions)
    write_table(paths.index, _index_rows(paths.shard, made.sessions), SHARD_COLUMNS)
    write_json(paths.qc, {"format": 1, "dataset": rows[0]["dataset"] if rows else MISSING, "sessions": made.numbers})
    return {
        "scans": len(rows), "quarantined": len(made.quarantine), "sessions": len(made.sessions),
        "seconds": {step: round(s, 2) for step, s in made.seconds.items()},
    }  # fmt: skip


def _fresh(folder: Path) -> None:
    """An empty folder: a figure of a former run must not outlive its session."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _refuse_doubles(rows: Sequence[Row], root: Path, made: _Made) -> list[Row]:
    """Quarantine what stands in the index twice, by name or by content; the first of each stays."""
    names: dict[tuple[str, ...], str] = {}
    contents: dict[str, str] = {}
    good = []
    for row in rows:
        name = (row["subject"], row["session"], row["sequence"])
        twin, same = names.get(name), contents.get(row["sha256"]) if row["sha256"] != MISSING else None
        if twin is not None:
            reason = f"'{root / twin}' is {row['sequence']} of this session too."
            _quarantine(made, row, root, "duplicate", reason, "Keep one scan, or number the repeats (T1w_2).")
        elif same is not None:
            reason = f"the same bytes as '{root / same}'."
            _quarantine(made, row, root, "duplicate", reason, "Remove the copy: one scan must not count twice.")
        else:
            names[name], contents[row["sha256"]] = row["path"], row["path"]
            good.append(row)
    return good


def _session(
    rows: Sequence[Row], root: Path, config: PreprocessConfig, resources: Resources, figures: Path, made: _Made
) -> None:
    files = {r["sequence"]: root / r["path"] for r in _unchanged(rows, root, made)}
    by_sequence = {r["sequence"]: r for r in rows}
    if not files:
        return
    subject, session = rows[0]["subject"], rows[0]["session"]
    try:
        given = _given(files, root, config, subject, session)
        result = preprocess_session(files, config, resources, subject, session, given)
    except SessionFailed as failed:
        for r in failed.rejected:
            _quarantine(made, by_sequence[r.sequence], root, r.code, r.reason, r.remedy)
        return
    for r in result.rejected:
        _quarantine(made, by_sequence[r.sequence], root, r.code, r.reason, r.remedy)
    name = f"sub-{subject}_ses-{session}"
    pictures, mask, geometry = result.pictures, result.session.mask, result.session.geometry
    picture = session_picture(pictures, mask, geometry, resources.brain, config.grid.align)
    write_bytes(figures / f"{name}.jpg", picture)
    write_scan(figures / f"{name}_mask.nii.gz", result.native_mask.astype(np.uint8), result.native_affine)
    made.sessions.append(result.session)
    made.numbers[f"{subject}/{session}"] = _numbers(result, by_sequence, name)
    for step, seconds in result.seconds.items():
        made.seconds[step] = made.seconds.get(step, 0.0) + seconds


def _numbers(result: SessionResult, rows: Mapping[str, Row], name: str) -> dict[str, Any]:
    first = rows[result.reference]
    return result.numbers | {
        "site": first["site"],
        "figure": f"{name}.jpg",
        "native_mask": f"{name}_mask.nii.gz",
        "sha256": {s: rows[s]["sha256"] for s in result.session.volumes},
    }


def _unchanged(rows: Iterable[Row], root: Path, made: _Made) -> list[Row]:
    """Rows whose file is still the one that was indexed; a missing file is left for the reader to name."""
    good = []
    for row in rows:
        path = root / row["path"]
        if row["sha256"] != MISSING and path.is_file() and sha256(path) != row["sha256"]:
            reason = "the file is not the one that was indexed (its content changed)."
            _quarantine(made, row, root, "changed", reason, "Index the data set again, or restore the file.")
        else:
            good.append(row)
    return good


def _given(
    files: Mapping[str, Path], root: Path, config: PreprocessConfig, subject: str, session: str
) -> dict[str, Path]:
    if config.strip.method != "given":
        return {}
    pattern = config.strip.given_pattern
    return {s: root / pattern.format(subject=subject, session=session, sequence=s) for s in files}


def _quarantine(made: _Made, row: Row, root: Path, code: str, reason: str, remedy: str) -> None:
    path = str(root / row["path"])
    named = reason if path in reason.split("'")[0] else f"{path}: {reason}"
    columns = ("dataset", "subject", "session", "sequence", "path")
    made.quarantine.append({**{c: row[c] for c in columns}, "code": code, "reason": named, "remedy": remedy})


def _index_rows(shard: Path, sessions: Iterable[PreprocessedSession]) -> list[dict[str, str]]:
    whole = sha256(shard)
    return [
        {
            "subject": s.subject, "session": s.session, "sequences": ",".join(s.volumes),
            "shape": "x".join(map(str, s.geometry.shape)), "shard_sha256": whole, "session_sha256": _session_hash(s),
        }
        for s in sorted(sessions, key=lambda s: s.key)
    ]  # fmt: skip


def _session_hash(session: PreprocessedSession) -> str:
    """SHA-256 over a session's tensors as stored, so that a consumer sees which session of a shard changed."""
    digest = hashlib.sha256(np.ascontiguousarray(session.mask, np.uint8).tobytes())
    for name, volume in session.volumes.items():
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(volume, np.float16).tobytes())
    return digest.hexdigest()
