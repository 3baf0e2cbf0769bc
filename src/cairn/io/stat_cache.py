"""Content hashes that a file's size and time stand for, so that planning and checking do not read every file again."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from cairn.io.atomic import read_json, sha256, write_json


def stamp(path: Path) -> str:
    """Size and time of a file, as text."""
    stat = path.stat()
    return f"{stat.st_size}-{stat.st_mtime_ns}"


class StatCache:
    """SHA-256 of files; a file is read again only when its size or time has moved.

    It trusts size and time, as git and DVC do. Used as a context manager it writes what it learned.

    Args:
        memory: JSON file that keeps the hashes, in a folder of this machine's own: times do not travel.
        every: read every file, whatever is known; the memory is made anew.
    """

    def __init__(self, memory: Path, every: bool = False) -> None:
        self.memory = memory
        self._known: dict[str, list[str]] = {}
        if memory.is_file() and not every:
            try:
                self._known = dict(read_json(memory))
            except ValueError:  # cut by an interruption: nothing is known then
                self._known = {}
        self._changed = False

    def __enter__(self) -> StatCache:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._changed:
            write_json(self.memory, self._known)

    def sha256(self, path: Path) -> str:
        """Hex SHA-256 of a file's bytes."""
        now, key = stamp(path), path.as_posix()
        if self._known.get(key, [""])[0] != now:
            self._known[key] = [now, sha256(path)]
            self._changed = True
        return self._known[key][1]

    def moved(self, path: Path, digest: str) -> None:
        """Note that ``path``, of known content, has a new time."""
        self._known[path.as_posix()] = [stamp(path), digest]
        self._changed = True
