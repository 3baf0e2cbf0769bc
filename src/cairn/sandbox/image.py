"""What is run: a folder with a root file system, an Apptainer file, or a name that Docker knows."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cairn.errors import CairnError
from cairn.io.atomic import sha256

APP = "app/predict.py"
OCI = "docker://"
UNREAD = ("docker-archive:", "oci:", "oci-archive:", "docker-daemon:")
"""How Apptainer names images that neither it nor Docker runs without a conversion."""


@dataclass(frozen=True)
class Image:
    """An image.

    Attributes:
        path: the folder or file, or the name that the engine knows.
        kind: ``folder``, ``sif`` or ``oci``.
        base: folders of this machine that a folder image sees, read-only, where it brings none of its own. Only the
            organiser names them; a complete root needs none.
    """

    path: str
    kind: Literal["folder", "sif", "oci"]
    base: tuple[str, ...] = ()

    def digest(self, content: Callable[[Path], str] = sha256) -> str:
        """SHA-256 over the content: of the file, or of a folder's names, modes, link targets and files.

        Args:
            content: SHA-256 of a file; planning hands in one that remembers (`cairn.io.stat_cache`).

        Raises:
            CairnError: for a name (an engine's registry says what it stands for), or an unreadable file.
        """
        if self.kind == "oci":
            reason = f"{self.path}: what a name stands for may change."
            raise CairnError(reason, "Save the image as a file, and name that.", "image")
        try:
            return content(Path(self.path)) if self.kind == "sif" else _digest_of(Path(self.path), content)
        except OSError as error:
            raise CairnError(f"{self.path}: cannot be read ({error.strerror}).", "Mend it.", "image") from None

    def size_mb(self) -> float:
        """Size of the file, or of all files of the folder; 0 for a name."""
        if self.kind == "oci":
            return 0.0
        files = [Path(self.path)] if self.kind == "sif" else Path(self.path).rglob("*")
        return sum(p.lstat().st_size for p in files if p.is_file() and not p.is_symlink()) / 1e6


def open_image(path: Path | str, base: Sequence[str] = ()) -> Image:
    """An image, by what lies at ``path``.

    Raises:
        CairnError: when nothing is there, or it is no image (code ``image``).
    """
    name = str(path)
    if name.startswith(OCI):
        return Image(name, "oci")
    if name.startswith(UNREAD):
        reason = f"{name}: no engine runs it as it is."
        raise CairnError(reason, f"Make a file of it: apptainer build entry.sif {name}", "image")
    place = Path(name)
    if place.is_dir():
        if not (place / APP).is_file():
            raise CairnError(f"{name}: a folder without {APP}.", "Name the folder that holds the root.", "image")
        _check_base(place, base)
        return Image(os.path.abspath(name), "folder", tuple(base))
    if place.is_file():
        if place.suffix != ".sif":
            raise CairnError(f"{name}: not a .sif file.", "Build it with Apptainer, or name a root folder.", "image")
        return Image(os.path.abspath(name), "sif")
    raise CairnError(f"{name}: no such image.", "Name a root folder, a .sif file, or docker://NAME.", "image")


def _check_base(root: Path, base: Sequence[str]) -> None:
    """Refuse an image with a folder, or worse a link, on the way to where a place of the base is to be mounted."""
    for place in base:
        way = [root.joinpath(*Path(place).parts[1:n]) for n in range(2, len(Path(place).parts) + 1)]
        for step in way:
            if step.is_symlink() or (os.path.lexists(step) and not os.path.lexists(way[-1])):
                if step == way[-1]:
                    break  # its own, and so the base's is not shown
                reason = f"{root}: has /{step.relative_to(root)}, where {place} of the base would lie."
                raise CairnError(reason, "Rename it, or bring a complete root and no base.", "image")


def _digest_of(root: Path, content: Callable[[Path], str]) -> str:
    total = hashlib.sha256()
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted([*files, *(f for f in folders if Path(folder, f).is_symlink())]):
            path = Path(folder, name)
            at = path.lstat()
            if stat.S_ISLNK(at.st_mode):
                what = f"link {os.readlink(path)}"
            elif stat.S_ISREG(at.st_mode):
                what = f"{at.st_mode & 0o7777:o} {content(path)}"
            else:
                what = f"special {at.st_mode:o}"
            total.update(f"{path.relative_to(root).as_posix()}\0{what}\0".encode("utf-8", "surrogateescape"))
    return total.hexdigest()
