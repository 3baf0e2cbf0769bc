"""Reading trees of scans: BIDS and the trees of FOMO. Names only; no scan is opened, of an archive its list alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import count, groupby
from pathlib import Path

from cairn.datasets.layouts.bids import BidsIgnore, walk_bids
from cairn.datasets.layouts.fomo import walk_sources, walk_subjects
from cairn.datasets.layouts.place import KINDS, find_base, guess_kind
from cairn.datasets.layouts.scans import CODES, Leftover, ScanFile, Survey
from cairn.datasets.layouts.sequences import SEQUENCES, is_unknown
from cairn.datasets.layouts.walk import Found, Walk, Wanted, stem_of
from cairn.errors import CairnError
from cairn.io.members import ARCHIVE, INTO

__all__ = [
    "CODES", "KINDS", "SEQUENCES", "Leftover", "ScanFile", "Survey", "guess_kind",
    "is_unknown",
    "list_scans", "survey",
]  # fmt: skip


def list_scans(root: Path, kind: str, wanted: Wanted | None = None) -> list[ScanFile]:
    """All scans below ``root``, sorted; what is none is left out (`survey` says what and why).

    Args:
        root: the folder of the data set, as published.
        kind: one of `KINDS`.
        wanted: whether a subject's session is asked for; those that are not are not looked into.

    Raises:
        CairnError: code ``missing`` where the root is no folder, ``no-scans`` where it holds no scan of the layout.
    """
    found = survey(root, kind, wanted)
    if found.scans or wanted:
        return found.scans
    first = f" ('{found.leftovers[0].path}': {found.leftovers[0].reason})" if found.leftovers else ""
    raise CairnError(
        f"{root}: no scan found{first}.", f"A data set of kind '{kind}' holds scans as {KINDS[kind]}.", "no-scans"
    )  # fmt: skip


def survey(root: Path, kind: str, wanted: Wanted | None = None) -> Survey:
    """All scans below ``root``, and all that lies there and cannot be used, with the reason: nothing stops the walk.

    Raises:
        CairnError: from `find_base`, where the root is of no such layout at all.
    """
    base, taken = find_base(root, kind)
    walk, ignore = Walk(root, wanted), None
    if kind == "bids":
        ignore = BidsIgnore(base)
        found = walk_bids(walk, base, ignore)
    else:
        found = (walk_sources if kind == "fomo300k" else walk_subjects)(walk, base)
    scans = sorted(_told_apart(walk, found))
    return Survey(root, kind, base, taken, scans, sorted(walk.leftovers), ignore.count if ignore else 0)


def _told_apart(walk: Walk, found: Iterable[Found]) -> Iterator[ScanFile]:
    """Give every scan of a session a name of its own; the same scan twice (``.nii`` and ``.nii.gz``) is left out."""
    ordered = sorted(found, key=lambda f: (f[1].subject, f[1].session, f[0].sequence, f[1].path))
    for _, session in groupby(ordered, key=lambda f: (f[1].subject, f[1].session)):
        yield from _named(_once(walk, list(session)))


def _once(walk: Walk, session: list[Found]) -> list[Found]:
    there: dict[str, str] = {}
    kept = []
    for named, scan in sorted(session, key=lambda f: (f"{ARCHIVE}{INTO}" in f[1].path, f[1].path)):
        name = scan.path.rpartition("/")[2]
        stem = stem_of(name) or name
        if stem in there:
            walk.leave(f"{walk.root}/{scan.path}", "duplicate", there[stem])
        else:
            there[stem] = scan.path
            kept.append((named, scan))
    return kept


def _named(session: list[Found]) -> Iterator[ScanFile]:
    """The first scan of a sequence has its plain name (a lone ``acq-mprage_T1w`` is the T1w), others of it a number."""
    session = sorted(session, key=lambda f: (f[0].sequence, f[1].path))
    asked = {named.sequence for named, _ in session}
    given: set[str] = set()
    for named, scan in session:
        name = named.sequence
        if named.base not in asked:
            name = named.base
            asked.add(name)
        if name in given:
            plain = replace(named, repeat=1).sequence
            name = next(n for k in count(2) if (n := f"{plain}_{k}") not in given and n not in asked)
        given.add(name)
        yield scan if scan.sequence == name else replace(scan, sequence=name)
