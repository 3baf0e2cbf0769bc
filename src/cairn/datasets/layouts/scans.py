"""What a survey of a tree finds: scans, and the files that are there but cannot be used, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cairn.io.codes import REFUSED


@dataclass(frozen=True, order=True, slots=True)
class ScanFile:
    """One scan of a tree: who, which sequence, and where it lies below the root (``a.zip!/member`` in an archive)."""

    subject: str
    session: str
    sequence: str
    path: str
    size: int
    mtime_ns: int


CODES: Mapping[str, tuple[str, str]] = {
    "bad-name": (
        "the name cannot be used ({why})",
        "Rename it: letters, digits, '+', '-' and '_' in identifiers; no control characters, no double spaces.",
    ),
    "suffix": ("'{why}' is no NIfTI suffix", "Convert it to .nii.gz, or leave it: nothing reads it."),
    "sequence": ("'{why}' is no sequence that Cairn reads", "Nothing to do, unless it is a misspelt one."),
    "datatype": ("folder '{why}' holds no sequence that Cairn reads", "Nothing to do, unless scans were put there."),
    "sidecar": ("no image of that name lies beside it", "Download the image again, or remove the sidecar."),
    "misplaced": ("{why}", "Move it to where the layout wants it (docs/reference/layouts.md)."),
    "empty": ("holds no scan", "Download it again, or remove the folder."),
    "symlink": (
        "the link leads out of the data set's folder, to {why}",
        "Put the file itself there (of a download: not in a cache), or allow it: preprocess.guard.follow_links.",
    ),
    "dangling": ("the link leads nowhere", "Fetch the file that it stands for (`datalad get`, `git annex get`)."),
    "unreadable": ("may not be read ({why})", "Give whoever runs Cairn the right to read it."),
    "duplicate": ("'{why}' is the same scan, and is used", "Remove one, or tell them apart by a run number."),
    **{code: ("{why}", REFUSED[code].remedy) for code in ("archive", "member", "encrypted", "method", "bomb")},
}  # fmt: skip
"""Why a file was left out: sentence and remedy by code."""


@dataclass(frozen=True, order=True, slots=True)
class Leftover:
    """A file or folder that is there and cannot be used."""

    path: str
    code: str
    reason: str
    remedy: str


@dataclass(frozen=True)
class Survey:
    """What lies below a root.

    A file that would be a scan of a known session but for its own fault (a link out of the tree, a hostile archive)
    stands among both: preprocessing then refuses it into ``quarantine.tsv``, and no scan is lost without a word.
    ``base`` is the folder that holds the subjects (the root, or one below it), ``taken`` says so where it is not the
    root; ``ignored`` counts what a ``.bidsignore`` leaves out.
    """

    root: Path
    kind: str
    base: Path
    taken: str
    scans: list[ScanFile]
    leftovers: list[Leftover] = field(default_factory=list)
    ignored: int = 0
