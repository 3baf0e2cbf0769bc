"""One process a folder. The kernel frees the lock when its holder dies, also by kill -9, so none is ever stale."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cairn.io.atomic import disk_errors
from cairn.train.progress import say

NAME = ".lock"
NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for the length of the block; while another process holds it, say which, and wait.

    A workflow that was killed leaves its jobs running, and the next command starts the same jobs again.
    On a file system without locks the block runs all the same, after one line that says so.
    """
    path = folder / NAME
    with disk_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _take(handle, path)
        with disk_errors(path):
            os.ftruncate(handle, 0)
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield
    finally:
        os.close(handle)  # frees the lock; the file stays, as removing it would let two processes hold two locks


def _take(handle: int, path: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = path.read_text(encoding="utf-8", errors="replace") or "another process"
        say(f"state: {holder} already trains in {path.parent}; waiting until it ends, then going on from its state")
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        say(f"state: {path.parent} is on a file system without locks; make sure that no second process trains in it")
