"""What a shard under way has done so far, kept until it is whole and taken: a killed job goes on from here.

    {state}/lock        held by the one process that works here
    {state}/{key}/      one session: a shard of its own, its figures, result.json (written last)
    {state}/made/       the shard's outputs, whole; made.json (written last) says of what

A key is a hash of all that decides a result. This is a cache: what has another key is removed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cairn.io.atomic import atomic_path, read_json, sha256, write_json
from cairn.io.members import split_member

LOCK, MADE, RESULT, MARK = "lock", "made", "result.json", "made.json"
DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError)


def key_of(**parts: Any) -> str:
    """First 32 hex digits of a hash over ``parts`` (plain data)."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def stamp(path: Path) -> list[int] | None:
    """Size and time of a file, or None: an index names its content, but a file may have changed since."""
    try:
        found = split_member(path)[0].stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]


@dataclass(frozen=True)
class Outcome:
    """What became of a session; its tensors and figures lie in ``folder``.

    Attributes:
        folder: of this session.
        quarantine: rows of its unusable scans.
        row: its row of the shard's index, without the shard's hash; None when no scan could be used.
        numbers: for quality control.
        seconds: wall time by step.
    """

    folder: Path
    quarantine: list[dict[str, str]]
    row: dict[str, str] | None
    numbers: dict[str, Any]
    seconds: dict[str, float]


class KeptSessions:
    """Sessions of a shard, each in a folder of its own.

    Args:
        folder: the shard's state folder; whoever works here holds its lock.
        keys: of the sessions wanted; whatever else lies there is removed.
    """

    def __init__(self, folder: Path, keys: Collection[str]) -> None:
        self.folder = folder
        others = [p for p in folder.iterdir() if p.name not in {LOCK, MADE, *keys}]
        if any(path.is_dir() for path in others):
            say(f"{folder} holds sessions of another configuration, code or data; they are removed")
        for path in others:
            remove(path)

    def read(self, key: str) -> Outcome | None:
        """A session that is done, if it is and its files are what they were; of a damaged one a line is said."""
        folder = self.folder / key
        if not (folder / RESULT).is_file():
            remove(folder)  # killed on the way
            return None
        try:
            return Outcome(folder, **_unseal(folder, RESULT))
        except DAMAGE as error:
            say(f"{folder}: this session is damaged ({error}); it is done again")
            remove(folder)
            return None

    def write(self, key: str, make: Callable[[Path], Mapping[str, Any]]) -> Outcome:
        """Do a session: ``make`` writes its files into the folder and returns the rest of its `Outcome`."""
        folder = self.folder / key
        remove(folder)
        folder.mkdir(parents=True)
        _seal(folder, RESULT, make(folder))
        done = self.read(key)  # as a later process reads it: kept or not, the same values go on
        assert done is not None
        return done

    def clear(self) -> None:
        """Remove the sessions."""
        for path in self.folder.iterdir():
            if path.name not in {LOCK, MADE}:
                remove(path)


class MadeShard:
    """The outputs of a shard, whole, before they are put where the workflow wants them, and after.

    They are linked there, not copied, so that they take no room. They are kept because Snakemake deletes what a job
    whose end it has not seen has made.
    """

    def __init__(self, state: Path) -> None:
        self.folder = state / MADE

    def facts(self, key: str) -> dict[str, Any] | None:
        """Facts of the card when all is there for ``key``; else None, and the folder is empty."""
        try:
            if (self.folder / MARK).is_file() and (data := _unseal(self.folder, MARK))["key"] == key:
                return dict(data["facts"])
        except DAMAGE as error:
            say(f"{self.folder}: damaged ({error}); it is made again")
        remove(self.folder)
        self.folder.mkdir(parents=True)
        return None

    def close(self, key: str, facts: Mapping[str, Any]) -> None:
        """All is there: say so."""
        _seal(self.folder, MARK, {"key": key, "facts": facts})


def forget(states: Iterable[Path]) -> None:
    """Remove the state folders of shards whose outputs have been taken."""
    for state in states:
        shutil.rmtree(state, ignore_errors=True)


def place(source: Path, target: Path) -> None:
    """Put a file where it is wanted, as a second name where the file system can, else as a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def say(text: str) -> None:
    """A line in the job's log."""
    print(text, file=sys.stderr, flush=True)


def _seal(folder: Path, name: str, data: Mapping[str, Any]) -> None:
    """Write ``data`` as ``folder/name``, with the hash of every other file there and of ``data`` itself."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != name)
    files = {p.relative_to(folder).as_posix(): sha256(p) for p in paths}
    write_json(folder / name, {"data": data, "files": files, "sha256": key_of(data=data, files=files)})


def _unseal(folder: Path, name: str) -> dict[str, Any]:
    """What `_seal` wrote, if it and the files are what they were; else one of ``DAMAGE``."""
    sealed = read_json(folder / name)
    data, files = sealed["data"], sealed["files"]
    if sealed["sha256"] != key_of(data=data, files=files):
        raise ValueError(f"{name} is not what was written")
    for other, digest in files.items():
        if sha256(folder / other) != digest:
            raise ValueError(f"{other} is not what was written")
    return dict(data)
