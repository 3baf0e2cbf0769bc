"""Where in a folder as downloaded the subjects lie, and which layout a folder is of: by the names of a few entries."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from cairn.datasets.layouts.bids import FOLDERS
from cairn.datasets.layouts.fomo import SESSION, SOURCE, SUBJECT, is_source
from cairn.datasets.layouts.walk import is_folder, stem_of
from cairn.errors import CairnError
from cairn.io.members import ARCHIVE

KINDS = {
    "bids": "sub-*/[ses-*/]{anat,dwi,swi,perf,ct}/*.nii.gz",
    "fomo60k": "sub_*/ses_*/*.nii.gz",
    "fomo300k": "PT*/[ds*/]sub-*/{ses-*/*.nii.gz,ses-*.zip}",
    "fomo_task": "preprocessed/sub_*/ses_*/*.nii.gz, labels/sub_*/[ses_*/]{label.txt,labels.txt,seg.nii.gz}",
}
"""Layouts by kind."""
PREPROCESSED, LABELS = "preprocessed", "labels"
_DATATYPE = re.compile("|".join((*FOLDERS, "func", "fmap", "eeg", "meg", "pet", "beh")))


def find_base(root: Path, kind: str) -> tuple[Path, str]:
    """The folder that holds the subjects (of ``fomo300k``, the sources), and a sentence where it is not the root.

    Raises:
        CairnError: code ``missing`` for a root that is no folder; ``no-scans`` where no such folder is found at the
            root or one level below (of a fine-tune set: three), or where there are several.
    """
    if not root.is_dir():
        raise CairnError(f"{root}: no such folder.", "Mend 'root' of the data set in the configuration.", "missing")
    if kind == "fomo_task":
        holds: Callable[[Path], bool] = lambda p: p.name == PREPROCESSED and _has_subjects(p)  # noqa: E731
        depth = 3
    elif kind == "fomo300k":
        holds, depth = (lambda p: _has_subjects(p) or _has_sources(p)), 1
    else:
        holds, depth = _has_subjects, 1
    level = [root]
    for _ in range(depth + 1):
        found = [folder for folder in level if holds(folder)]
        if found:
            return _the_one(root, kind, found)
        level = [inside for folder in level for inside in _folders(folder)]
    if kind == "fomo_task" and _has_subjects(root):
        return root, ""
    raise CairnError(
        f"{root}: no scan found.", f"A data set of kind '{kind}' holds scans as {KINDS[kind]}.", "no-scans"
    )  # fmt: skip


def find_labels(root: Path) -> Path:
    """The folder of labels of a FOMO fine-tune set: the root, or the one folder ``labels`` in it or beside its scans.

    Raises:
        CairnError: code ``no-labels``.
    """
    if _has_subjects(root) and root.name != PREPROCESSED:
        return root
    beside = [root.parent / LABELS] if root.name == PREPROCESSED else []
    level = [root]
    for _ in range(3):
        found = [p for p in (*beside, *(folder / LABELS for folder in level)) if p.is_dir()]
        if len(found) == 1:
            return found[0]
        level = [inside for folder in level for inside in _folders(folder)]
    raise CairnError(
        f"{root}: no folder of labels found, or several.",
        "Labels lie there as labels/sub_*/[ses_*/]label.txt, labels.txt or seg.nii.gz.", "no-labels",
    )  # fmt: skip


def _the_one(root: Path, kind: str, found: list[Path]) -> tuple[Path, str]:
    if len(found) > 1:
        names = ", ".join(str(p.relative_to(root)) for p in found[:5]) + (", …" if len(found) > 5 else "")
        raise CairnError(
            f"{root}: {len(found)} data sets of kind '{kind}' lie here ({names}).", "Point 'root' at one of them.",
            "no-scans",
        )  # fmt: skip
    taken = (
        "" if found[0] == root else f"Taken: '{found[0].relative_to(root)}', the one folder in it that holds subjects."
    )
    return found[0], taken


def guess_kind(root: Path) -> tuple[str, str]:
    """The layout of a folder, and what in it says so.

    Raises:
        CairnError: code ``missing`` or, where nothing is like a known layout, ``no-scans``.
    """
    if not root.is_dir():
        raise CairnError(f"{root}: no such folder.", "Check the path.", "missing")
    if root.name == PREPROCESSED or (not _has_subjects(root) and any(p.name == PREPROCESSED for p in _below(root, 3))):
        return "fomo_task", f"it holds a folder '{PREPROCESSED}'"
    for folder in (root, *_folders(root)):
        subjects = list(islice(_subject_folders(folder), 20))
        if not subjects or (folder != root and SOURCE.match(folder.name)):
            continue
        where = "its subjects" if folder == root else f"the subjects in '{folder.name}'"
        if any(_DATATYPE.fullmatch(p.name) for s in subjects for p in _below(s, 2)):
            _the_one(root, "bids", [p for p in (root, *_folders(root)) if _has_subjects(p)])
            return "bids", f"{where} have folders such as anat/"
        if subjects[0].name.startswith("sub_"):
            return "fomo60k", f"{where} are called sub_*, with scans straight in their sessions"
        if any(_is_fomo_session(s) for s in subjects):
            return "fomo300k", f"{where} have scans, or archives, straight in their sessions"
    if _has_sources(root) or any(map(_has_sources, _folders(root))):
        return "fomo300k", "its folders PT* hold folders of subjects"
    there = ", ".join(sorted(p.name for p in _folders(root))[:5]) or "no folder"
    kinds = "; ".join(f"{kind}: {pattern}" for kind, pattern in KINDS.items())
    raise CairnError(f"{root}: like no known layout (it holds {there}).", f"Known are {kinds}.", "no-scans")


def _is_fomo_session(subject: Path) -> bool:
    for name in _names(subject):
        if name.startswith(SESSION):
            if name.endswith(ARCHIVE) or any(map(stem_of, _names(subject / name))):
                return True
        elif stem_of(name):
            return True
    return False


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _folders(folder: Path) -> list[Path]:
    """Folders in a folder that may hold a data set: no hidden ones, and no subjects."""
    try:
        with os.scandir(folder) as found:
            names = [e.name for e in found if not e.name.startswith((".", *SUBJECT)) and is_folder(e)]
    except OSError:
        return []
    return [folder / name for name in sorted(names)]


def _subject_folders(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as found:
            for entry in found:
                if entry.name.startswith(SUBJECT) and is_folder(entry):
                    yield folder / entry.name
    except OSError:
        return


def _has_subjects(folder: Path) -> bool:
    return next(_subject_folders(folder), None) is not None


def _has_sources(folder: Path) -> bool:
    if is_source(folder):
        return any(map(_has_subjects, _folders(folder)))
    sources = (p for p in _folders(folder) if SOURCE.match(p.name))
    return any(_has_subjects(source) or any(map(_has_subjects, _folders(source))) for source in sources)


def _below(folder: Path, depth: int) -> Iterator[Path]:
    for inside in _folders(folder):
        yield inside
        if depth > 1:
            yield from _below(inside, depth - 1)
