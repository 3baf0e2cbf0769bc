"""Reading trees of scans: BIDS, and the plain FOMO tree ``sub_*/ses_*/*.nii.gz``. Names only; no file is opened."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from cairn.errors import CairnError

SUFFIXES = (".nii.gz", ".nii")
# Spellings seen in BIDS suffixes and in FOMO25/26 file names (docs/reference/contracts.md lists the results).
SEQUENCES = {
    "t1w": "T1w", "t1": "T1w", "mprage": "T1w", "t2w": "T2w", "t2": "T2w", "flair": "FLAIR", "dwi": "DWI",
    "dwi_b1000": "DWI", "adc": "ADC", "swi": "SWI", "t2s": "T2star", "t2star": "T2star", "t2starw": "T2star",
    "gre": "T2star", "t1c": "T1c", "t1ce": "T1c", "ce-t1w": "T1c", "pd": "PD", "pdw": "PD", "ct": "CT",
    "scan": "unknown",
}  # fmt: skip
BIDS_FOLDERS = ("anat", "dwi", "swi", "perf", "ct")
_SAFE = re.compile(r"^[A-Za-z0-9]+$")
_REPEAT = re.compile(r"_(\d+)$")


@dataclass(frozen=True, order=True)
class ScanFile:
    """One scan of a tree: who, which sequence, and where it lies below the root."""

    subject: str
    session: str
    sequence: str
    path: str
    size: int
    mtime_ns: int


def list_scans(root: Path, kind: str) -> list[ScanFile]:
    """All scans below ``root``, sorted.

    Args:
        root: the folder that holds the subjects.
        kind: ``bids`` or ``fomo60k``.

    Raises:
        CairnError: when the root is missing or holds no scan, when a name cannot be used, or when two files claim to
            be the same scan.
    """
    if not root.is_dir():
        raise CairnError(f"{root}: no such folder.", "Mend 'root' of the data set in the configuration.", "missing")
    walk = {"bids": _bids, "fomo60k": _fomo60k}[kind]
    scans = _plain_names(sorted(walk(root)))
    if not scans:
        pattern = "sub-*/[ses-*/]anat/*.nii.gz" if kind == "bids" else "sub_*/ses_*/*.nii.gz"
        raise CairnError(
            f"{root}: no scan found.", f"A data set of kind '{kind}' holds scans as {pattern}.", "no-scans"
        )
    _refuse_twins(root, scans)
    return scans


def _plain_names(scans: list[ScanFile]) -> list[ScanFile]:
    """Give a session's first scan of a sequence the sequence's plain name: a lone ``acq-mprage_T1w`` is its T1w."""
    names = {(s.subject, s.session, s.sequence) for s in scans}
    found = []
    for scan in scans:
        plain = scan.sequence.split("_")[0]
        key = (scan.subject, scan.session, plain)
        if key not in names:
            names.add(key)
            scan = replace(scan, sequence=plain)
        found.append(scan)
    return sorted(found)


def _refuse_twins(root: Path, scans: list[ScanFile]) -> None:
    for a, b in pairwise(scans):
        if (a.subject, a.session, a.sequence) == (b.subject, b.session, b.sequence):
            raise CairnError(
                f"{root}: '{a.path}' and '{b.path}' both claim to be {a.sequence} of subject {a.subject}, "
                f"session {a.session}.", "Remove one, or tell them apart by a run number.", "duplicate",
            )  # fmt: skip


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        return sorted((e for e in found if not e.name.startswith(".")), key=lambda e: e.name)


def _folders(folder: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    for entry in _entries(folder):
        if entry.is_dir() and entry.name.startswith(prefix):
            label = entry.name[len(prefix) :]
            if not _SAFE.match(label):
                raise CairnError(
                    f"{entry.path}: '{label}' is no usable identifier.", "Use letters and digits only.", "name"
                )
            yield label, Path(entry.path)


def _scan(root: Path, entry: os.DirEntry[str], subject: str, session: str, sequence: str) -> ScanFile:
    status = entry.stat()
    path = Path(entry.path).relative_to(root).as_posix()
    return ScanFile(subject, session, sequence, path, status.st_size, status.st_mtime_ns)


def _stem(name: str) -> str | None:
    return next((name[: -len(s)] for s in SUFFIXES if name.endswith(s)), None)


def _fomo60k(root: Path) -> Iterator[ScanFile]:
    for subject, subject_path in _folders(root, "sub_"):
        for session, session_path in _folders(subject_path, "ses_"):
            for entry in _entries(session_path):
                stem = _stem(entry.name)
                if stem:
                    yield _scan(root, entry, subject, session, fomo_sequence(stem))


def is_unknown(sequence: str) -> bool:
    """Whether a listed sequence says that the name told none: ``unknown``, ``unknown_2``."""
    return sequence.split("_")[0] == "unknown"


def fomo_sequence(stem: str) -> str:
    """Sequence of a FOMO file name without suffix: ``t1``, ``t1_2`` (a repeat), ``dwi_b1000``."""
    name = stem.lower()
    if name in SEQUENCES:
        return SEQUENCES[name]
    repeat = _REPEAT.search(name)
    base = SEQUENCES.get(name[: repeat.start()], "unknown") if repeat else "unknown"
    return f"{base}_{repeat.group(1)}" if repeat else base


def _bids(root: Path) -> Iterator[ScanFile]:
    for subject, subject_path in _folders(root, "sub-"):
        sessions = list(_folders(subject_path, "ses-")) or [("1", subject_path)]
        for session, session_path in sessions:
            for folder in BIDS_FOLDERS:
                if (session_path / folder).is_dir():
                    yield from _bids_folder(root, session_path / folder, subject, session)


def _bids_folder(root: Path, folder: Path, subject: str, session: str) -> Iterator[ScanFile]:
    for entry in _entries(folder):
        stem = _stem(entry.name)
        sequence = bids_sequence(stem) if stem else None
        if sequence:
            yield _scan(root, entry, subject, session, sequence)


def bids_sequence(stem: str) -> str | None:
    """Sequence of a BIDS file name without suffix; None for masks, phase images and whatever Cairn does not use."""
    *pairs, suffix = stem.split("_")
    entities = dict(p.split("-", 1) for p in pairs if "-" in p)
    sequence = SEQUENCES.get(suffix.lower())
    if sequence is None or "part" in entities:
        return None
    if sequence == "T1w" and entities.get("ce"):
        sequence = "T1c"
    if sequence == "DWI" and entities.get("desc", "").lower() == "adc":
        sequence = "ADC"
    run = entities.get("run", "1").lstrip("0") or "1"
    variant = entities.get("acq", "") + entities.get("rec", "")
    return sequence + (f"_{variant}" if variant else "") + (f"_{run}" if run != "1" else "")
