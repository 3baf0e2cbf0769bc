"""Walking a tree from strangers: plain strings and `os.scandir` for speed, and nothing on the way stops the walk."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from cairn.datasets.layouts.scans import CODES, Leftover, ScanFile
from cairn.datasets.layouts.sequences import Named
from cairn.errors import CairnError
from cairn.io.members import ARCHIVE, INTO, list_members
from cairn.io.opening import visible_name

SUFFIXES = (".nii.gz", ".nii")
SIDECARS = (".json", ".bval", ".bvec", ".tsv", ".tsv.gz", ".txt", ".csv", ".md")
OF_AN_IMAGE = (".json", ".bval", ".bvec")
IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9+_-]*")
Found = tuple[Named, ScanFile]
Entry = os.DirEntry[str]
Wanted = Callable[[str, str], bool]


class Walk:
    """One walk below a root; what cannot be used gathers in ``leftovers``.

    Args:
        root: the folder that all paths are relative to.
        wanted: whether a subject's session is asked for; by default all are.
    """

    def __init__(self, root: Path, wanted: Wanted | None = None) -> None:
        self.wanted = wanted or (lambda subject, session: True)
        self.root, self._cut = str(root), len(str(root).rstrip("/")) + 1
        self._real = os.path.realpath(root)
        self.leftovers: list[Leftover] = []
        self._noted: set[str] = set()

    def relative(self, path: str) -> str:
        """A path below the root, relative to it."""
        return path[self._cut :]

    def leave(self, path: str, code: str, why: str = "") -> None:
        """Note what cannot be used, by its full path; of several reasons the first."""
        if path not in self._noted:
            self._noted.add(path)
            reason, remedy = CODES[code]
            self.leftovers.append(
                Leftover(visible_name(self.relative(path)), code, reason.format(why=visible_name(why)), remedy)
            )

    def entries(self, folder: str) -> list[Entry]:
        """What lies in a folder, sorted by name, hidden files left out; names and links no reader takes are noted."""
        try:
            with os.scandir(folder) as found:
                listed = sorted((e for e in found if not e.name.startswith(".")), key=lambda e: e.name)
        except OSError as error:
            self.leave(folder, "unreadable", error.strerror or "?")
            return []
        for entry in listed:
            self._judge(entry)
        return listed

    def _judge(self, entry: Entry) -> None:
        why = _bad_name(entry.name)
        if why:
            self.leave(entry.path, "bad-name", why)
        elif entry.is_symlink():
            target = os.path.realpath(entry.path)
            if not os.path.exists(target):
                self.leave(entry.path, "dangling")
            elif os.path.commonpath([target, self._real]) != self._real:
                self.leave(entry.path, "symlink", target)

    def folders(self, folder: str, prefix: str) -> Iterator[tuple[str, str]]:
        """Label and path of each subfolder of a prefix (``sub-``)."""
        for entry in self.entries(folder):
            if (
                entry.name.startswith(prefix)
                and is_folder(entry)
                and (label := self.label(entry.name[len(prefix) :], entry.path))
            ):
                yield label, entry.path

    def label(self, label: str, path: str) -> str:
        """An identifier as it stands in a name; empty, and noted, where it cannot be used."""
        if IDENTIFIER.fullmatch(label):
            return label
        self.leave(path, "bad-name", f"'{label}' is no identifier")
        return ""

    def scan(self, entry: Entry, subject: str, session: str, named: Named) -> Found:
        """The scan that an entry is, or would be: what is wrong with it is noted here and refused by its reader."""
        size, moment = 0, 0
        try:
            status = entry.stat()
            size, moment = status.st_size, status.st_mtime_ns
            if not stat.S_ISREG(status.st_mode):
                self.leave(entry.path, "unreadable", "no plain file")
        except OSError as error:
            self.leave(entry.path, "unreadable", error.strerror or "?")
        return named, ScanFile(subject, session, named.sequence, visible_name(self.relative(entry.path)), size, moment)

    def images(self, entries: Iterable[Entry]) -> Iterator[tuple[str, Entry]]:
        """Stem and entry of all that is called a NIfTI file; what else lies there is noted, other than sidecars.

        A folder, pipe or broken link of such a name is yielded too: its reader refuses it, so that its loss is counted.
        """
        stems, others = [], []
        for entry in entries:
            found = stem_of(entry.name)
            if found:
                stems.append((found, entry))
            else:
                others.append(entry)
        there = {found for found, _ in stems}
        for entry in others:
            self._other(entry, there)
        yield from stems

    def _other(self, entry: Entry, images: set[str]) -> None:
        name = entry.name
        if is_folder(entry):
            self.leave(entry.path, "misplaced", "a folder where scans are meant to lie")
        elif name.endswith(OF_AN_IMAGE) and name.rpartition(".")[0] not in images:
            self.leave(entry.path, "sidecar")
        elif not name.endswith(SIDECARS):
            self.leave(entry.path, "suffix", _suffix(name))

    def members(self, archive: Entry) -> Iterator[tuple[str, ScanFile]]:
        """File name and scan, still without a name, of each NIfTI file in an archive; what is refused is noted too.

        An archive that cannot be used at all stands for its scans: its reader refuses it.
        """
        try:
            listed, moment = list_members(Path(archive.path)), archive.stat().st_mtime_ns
        except CairnError as error:
            self.leave(archive.path, error.code if error.code in CODES else "archive", error.reason.rstrip("."))
            yield archive.name, ScanFile("", "", "", visible_name(self.relative(archive.path)), 0, 0)
            return
        for member in listed:
            path, name = f"{archive.path}{INTO}{member.name}", member.name.rpartition("/")[2]
            why = _bad_name(member.name)
            if member.code or why:
                self.leave(path, member.code or "bad-name", member.reason or why)
            if stem_of(name):
                yield name, ScanFile("", "", "", visible_name(self.relative(path)), member.size, moment)
            elif not name.endswith(SIDECARS):
                self.leave(path, "suffix", _suffix(name))


def is_folder(entry: Entry) -> bool:
    """Whether an entry is a folder, or a link to one; a link that leads in a circle is none, and raises nothing."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def contradiction(name: str, subject: str, session: str) -> str:
    """What a name's own ``sub-`` and ``ses-`` say against the folders that it lies in; empty where nothing does."""
    for word in re.split(r"[/_]", name):
        for prefix, label in (("sub-", subject), ("ses-", session)):
            if word.startswith(prefix) and word != prefix + label:
                return f"its name says {word}, its folder {prefix}{label}"
    return ""


def stem_of(name: str) -> str:
    """A NIfTI file's name without its suffix; empty for every other file."""
    return next((name[: -len(s)] for s in SUFFIXES if name.endswith(s)), "")


def _suffix(name: str) -> str:
    return name[name.find(".") :] if "." in name else name


def _bad_name(name: str) -> str:
    """Why tables could not carry a name: they keep one space, and neither tabs, newlines nor bytes that are no text."""
    if not name.isprintable():
        return "control characters, or bytes that are no UTF-8"
    if name != " ".join(name.split()):
        return "spaces at its ends, or several in a row"
    return f"it ends in '{ARCHIVE}!'" if f"{ARCHIVE}{INTO}" in f"{name}/" else ""
