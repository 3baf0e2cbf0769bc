"""The trees of FOMO: FOMO60K and the fine-tune sets (``sub_*/ses_*/``), and the re-releases by source data set.

FOMO45K, 50K, 260K and 300K hold one folder a source, ``PT001_OASIS1/sub-*/ses-*/``, or, where a source is itself a
collection, one more: ``PT030_OpenNeuro/ds000001/sub-*/``. A session is a folder or an archive, ``ses-01.zip``. Sources
count their subjects each from one, so a subject's identifier carries its source: ``PT001_OASIS1.01``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from cairn.datasets.layouts.sequences import fomo_name
from cairn.datasets.layouts.walk import Entry, Found, Walk, contradiction, is_folder, stem_of
from cairn.io.members import ARCHIVE, INTO

SUBJECT, SESSION = ("sub-", "sub_"), ("ses-", "ses_")
SOURCE = re.compile(r"PT\d+")
_PLAIN = re.compile(r"[^A-Za-z0-9+_-]")


def subject_of(*parts: str) -> str:
    """One identifier of source, collection and subject: ``PT030_OpenNeuro.ds000001.01``.

    Reversible (`parts_of`): other characters than letters, digits, ``+ _ -`` become ``=`` and two hexadecimal digits a
    byte of UTF-8, so that no two sources meet in one name and every name can be a file's.
    """
    return ".".join(_PLAIN.sub(lambda m: "".join(f"={b:02X}" for b in m[0].encode()), part) for part in parts)


def parts_of(subject: str) -> tuple[str, ...]:
    """What `subject_of` was made of; a single part for the subjects of other layouts."""

    def plain(match: re.Match[str]) -> str:
        return bytes.fromhex(match[0].replace("=", "")).decode()

    return tuple(re.sub(r"(?:=[0-9A-F]{2})+", plain, part) for part in subject.split("."))


def walk_subjects(walk: Walk, base: Path) -> Iterator[Found]:
    """All scans of ``sub_*/ses_*/``, whichever of ``-`` and ``_`` stands there."""
    yield from _subjects(walk, walk.entries(str(base)), ())


def walk_sources(walk: Walk, base: Path) -> Iterator[Found]:
    """All scans of a re-release; ``base`` may also be one of its sources, or one data set of a collection."""
    entries = walk.entries(str(base))
    if any(map(_is_subject, entries)):
        yield from _subjects(walk, entries, own_source(base))
        return
    if is_source(base):
        for part in (e for e in entries if is_folder(e)):
            yield from _subjects(walk, walk.entries(part.path), (*own_source(base), part.name))
        return
    for source in (e for e in entries if is_folder(e)):
        if SOURCE.match(source.name):
            yield from _source(walk, source)
        else:
            walk.leave(source.path, "misplaced", "no source: their folders are called PT and a number")


def _source(walk: Walk, source: Entry) -> Iterator[Found]:
    inside = walk.entries(source.path)
    parts = [e for e in inside if is_folder(e) and not _is_subject(e)]
    if not parts and not any(map(_is_subject, inside)):
        walk.leave(source.path, "empty")
    yield from _subjects(walk, inside, (source.name,))
    for part in parts:
        yield from _subjects(walk, walk.entries(part.path), (source.name, part.name))


def is_source(folder: Path) -> bool:
    """Whether a folder is called as a source is (``PT001_OASIS1``)."""
    return SOURCE.match(os.path.basename(os.path.abspath(folder))) is not None


def own_source(base: Path) -> tuple[str, ...]:
    """Source, and data set of a collection, that a folder of subjects is, by its own name and its parent's."""
    base = Path(os.path.abspath(base))
    if SOURCE.match(base.name):
        return (base.name,)
    return (base.parent.name, base.name) if SOURCE.match(base.parent.name) else ()


def _is_subject(entry: Entry) -> bool:
    return entry.name.startswith(SUBJECT) and is_folder(entry)


def _subjects(walk: Walk, entries: list[Entry], source: tuple[str, ...]) -> Iterator[Found]:
    for entry in filter(_is_subject, entries):
        label = walk.label(entry.name[4:], entry.path)
        if label:
            yield from _subject(walk, entry.path, label, source)


def _subject(walk: Walk, folder: str, label: str, source: tuple[str, ...]) -> Iterator[Found]:
    subject = subject_of(*source, label) if source else label
    entries = walk.entries(folder)
    if not entries:
        walk.leave(folder, "empty")
    sessions = [e for e in entries if e.name.startswith(SESSION)]
    for entry in sessions:
        yield from _session(walk, entry, subject, label)
    others = [e for e in entries if e not in sessions]
    if others and sessions:
        for entry in (e for e in others if stem_of(e.name)):
            walk.leave(entry.path, "misplaced", "a scan beside the sessions")
    elif others and walk.wanted(subject, "1"):
        yield from _folder(walk, others, subject, label, "1", folder)


def _session(walk: Walk, entry: Entry, subject: str, label: str) -> Iterator[Found]:
    folder = is_folder(entry)
    if not folder and not entry.name.endswith(ARCHIVE):
        walk.leave(entry.path, "misplaced", "neither a session's folder nor its archive (.zip)")
        return
    session = walk.label(entry.name[4:] if folder else entry.name[4:].removesuffix(ARCHIVE), entry.path)
    if session and walk.wanted(subject, session):
        if folder:
            yield from _folder(walk, walk.entries(entry.path), subject, label, session, entry.path)
        else:
            yield from _archive(walk, entry, subject, label, session)


def _folder(
    walk: Walk, entries: list[Entry], subject: str, label: str, session: str, folder: str
) -> Iterator[Found]:  # fmt: skip
    if not entries:
        walk.leave(folder, "empty")
    for stem, entry in walk.images(entries):
        against = contradiction(stem, label, session)
        if against:
            walk.leave(entry.path, "misplaced", against)
        else:
            yield walk.scan(entry, subject, session, fomo_name(stem))


def _archive(walk: Walk, archive: Entry, subject: str, label: str, session: str) -> Iterator[Found]:
    for name, scan in walk.members(archive):
        inside = scan.path.partition(INTO)[2]
        against, named = contradiction(inside, label, session), fomo_name(stem_of(name))
        if against:
            walk.leave(os.path.join(walk.root, scan.path), "misplaced", against)
        else:
            yield named, replace(scan, subject=subject, session=session, sequence=named.sequence)
