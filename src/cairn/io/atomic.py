"""Files appear whole or not at all: temporary file in the same folder, fsync, ``os.replace``.

A full disk, an exhausted quota or a file size limit ends every such write in one clear `CairnError`, code ``disk``.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cairn.errors import CairnError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def atomic_path(path: Path, needed: int | None = None) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` with its full suffix; on success it is synced and moved onto ``path``.

    Args:
        path: the file to be.
        needed: its size in bytes, where that is known, for the error on a full disk.

    Raises:
        CairnError: with code ``disk``; the temporary file is then gone, and ``path`` as it was.
    """
    with disk_errors(path, needed):
        path.parent.mkdir(parents=True, exist_ok=True)
        suffix = "".join(path.suffixes[-2:])
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".tmp-", suffix=suffix)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def disk_errors(path: Path, needed: int | None = None) -> Iterator[None]:
    """Turn an error of a full disk, quota or size limit, while ``path`` is written, into a `CairnError`."""
    try:
        yield
    except Exception as error:
        number = _error_number(error)
        if number not in FULL:
            raise
        free = shutil.disk_usage(next(p for p in path.parents if p.is_dir())).free
        wanted = f"{needed:,} bytes needed, " if needed is not None else ""
        reason = f"{path.parent}: {os.strerror(number)} (writing {path.name}: {wanted}{free:,} free)."
        remedy = "Free space, or raise the limit, and run the same command again; nothing is lost."
        raise CairnError(reason, remedy, code="disk") from None


def _error_number(error: Exception) -> int | None:
    """The system's number of an error; libraries written in Rust (safetensors) tell it in their message only."""
    if isinstance(error, OSError):
        return error.errno
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None


def remove_left_overs(folder: Path) -> None:
    """Remove temporary files of a process killed while it wrote; only where no other process can be writing.

    `atomic_path` calls them ``.tmp-…``, safetensors, which writes a temporary file of its own, ``.tmp…``.
    """
    for left_over in folder.glob(".tmp*"):
        left_over.unlink(missing_ok=True)


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path``, for what is written on the way to it.

    Its name is the file's: writers of other files do not meet in it. It goes at the end; what a killed process
    left there goes first.
    """
    folder = path.parent / f".scratch-{path.name}"
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically."""
    with atomic_path(path, len(data)) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 ``text`` to ``path`` atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, data: Any) -> None:
    """Write ``data`` as sorted, indented JSON; NaN and infinities are refused."""
    write_text(path, json.dumps(data, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
