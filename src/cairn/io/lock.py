"""Locks between processes, held by the kernel: a process that dies, however it dies, lets go at once."""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from cairn.errors import CairnError

UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
POLL_S = 0.5
REMOVALS = 10  # of the folder, while its lock is opened


@contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Be the only process between entry and exit; others wait, and say for whom.

    The lock belongs to the file at ``path``, made where missing. Its folder may be removed while it is held or waited
    for: who gets a removed file's lock starts again with the file that is there now.

    Args:
        path: the lock file; it holds the pid of its holder.
        what: who asks, for what is said.

    Raises:
        CairnError: code ``orphan`` when the workflow's run that a waiting process belongs to has died: what it waits
            for is a later run's by now. Code ``disk`` when the file cannot be made.
    """
    run = _run_above()
    spoke = False
    while True:
        file = open_lock(path)
        taken = try_lock(file, fcntl.LOCK_EX)
        if taken is None:
            print(f"{what}: {path.parent} takes no locks; going on without", file=sys.stderr, flush=True)
        if taken is None or (taken and _still_at(path, file)):
            break
        if taken is False:
            if not spoke:
                print(f"{what}: waiting for process {_holder(file)}, which holds it", file=sys.stderr, flush=True)
            spoke = True
            time.sleep(POLL_S)
        file.close()
        if run is not None and run not in _ancestors():
            raise CairnError(f"{what}: the run that started this job is gone.", "A later run goes on.", "orphan")
    with file:
        _sign(file)
        yield


def open_lock(path: Path) -> TextIO:
    """The lock file, made where missing.

    Raises:
        CairnError: code ``disk`` when it cannot be made.
    """
    reason = "its folder vanishes"
    for _ in range(REMOVALS):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+", encoding="utf-8")
        except FileNotFoundError:
            continue  # the folder was removed in between
        except OSError as error:
            reason = str(error.strerror)
            break
    raise CairnError(
        f"{path}: cannot be written ({reason}).", "Make room, or mend the folder's permissions; then run again.", "disk"
    )


def try_lock(file: TextIO, kind: int) -> bool | None:
    """Take a lock of ``kind`` (``fcntl.LOCK_EX``, ``LOCK_SH``) without waiting; None where there are no locks."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in UNSUPPORTED:
            return None
        raise
    return True


def _still_at(path: Path, file: TextIO) -> bool:
    """Whether an open file is the one that the path names now."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _holder(file: TextIO) -> str:
    return file.read().strip() or "(unknown)"


def _sign(file: TextIO) -> None:
    """Write the pid; on a full disk the lock holds without."""
    try:
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
    except OSError:
        pass


def _ancestors() -> list[int]:
    """Processes above this one, nearest first; empty where ``/proc`` is not."""
    found, pid = [], os.getppid()
    while pid > 1:
        found.append(pid)
        try:  # the command's name, in brackets, may hold anything: what follows the last bracket is read
            pid = int(
                Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1]
            )
        except (OSError, IndexError, ValueError):
            break
    return found


def _run_above() -> int | None:
    """The Snakemake process that started this job, if one did."""
    for pid in _ancestors():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:4]
        except OSError:
            continue
        if any(word.rpartition(b"/")[2] == b"snakemake" for word in command):
            return pid
    return None
