"""BIDS by its names alone: ``sub-*/[ses-*/]{anat,dwi,swi,perf,ct}/*_{suffix}.nii.gz``; ``.bidsignore`` is obeyed.

An index of its own: the usual library opens every sidecar and builds a database, minutes for what takes seconds here.
Derivatives are left out, as all that is not under ``sub-*`` of the root.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from cairn.datasets.layouts.sequences import bids_name
from cairn.datasets.layouts.walk import Entry, Found, Walk, contradiction, is_folder, stem_of

FOLDERS = ("anat", "dwi", "swi", "perf", "ct")
Ignored = Callable[[str], bool]


def walk_bids(walk: Walk, base: Path, ignored: Ignored) -> Iterator[Found]:
    """All scans below ``base``; a subject without ``ses-*`` folders has the one session ``1``."""
    for subject, folder in walk.folders(str(base), "sub-"):
        sessions = list(walk.folders(folder, "ses-"))
        for session, path in sessions or [("1", folder)]:
            if walk.wanted(subject, session):
                yield from _session(walk, path, subject, session, ignored)


def _session(walk: Walk, folder: str, subject: str, session: str, ignored: Ignored) -> Iterator[Found]:
    for entry in walk.entries(folder):
        if ignored(entry.path):
            continue
        if not is_folder(entry):
            if stem_of(entry.name):
                walk.leave(entry.path, "misplaced", f"a scan outside the folders {', '.join(FOLDERS)}")
        elif entry.name in FOLDERS:
            yield from _scans(walk, entry, subject, session, ignored)
        else:
            walk.leave(entry.path, "datatype", entry.name)


def _scans(walk: Walk, folder: Entry, subject: str, session: str, ignored: Ignored) -> Iterator[Found]:
    entries = [e for e in walk.entries(folder.path) if not ignored(e.path)]
    for stem, entry in walk.images(entries):
        named, against = bids_name(stem), contradiction(stem, subject, session)
        if against:
            walk.leave(entry.path, "misplaced", against)
        elif named is None:
            walk.leave(entry.path, "sequence", _suffix(stem))
        else:
            yield walk.scan(entry, subject, session, named)


def _suffix(stem: str) -> str:
    part = next((word for word in stem.split("_") if word.startswith("part-")), "")
    return " ".join(filter(None, (part, stem.rpartition("_")[2])))


class BidsIgnore:
    """What a ``.bidsignore`` (the syntax of ``.gitignore``) leaves out, counted."""

    def __init__(self, base: Path) -> None:
        from pathspec import GitIgnoreSpec

        file = base / ".bidsignore"
        self.count, self._cut = 0, len(str(base).rstrip("/")) + 1
        self._spec = (
            GitIgnoreSpec.from_lines(file.read_text(encoding="utf-8", errors="replace").splitlines())
            if file.is_file()
            else None
        )

    def __call__(self, path: str) -> bool:
        """Whether a path, of which the base is a part, is left out."""
        if self._spec is None or not self._spec.match_file(path[self._cut :]):
            return False
        self.count += 1
        return True
