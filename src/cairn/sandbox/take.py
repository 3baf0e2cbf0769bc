"""Out of a folder that a stranger wrote into: by name, a regular file, copied once and only then looked at."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Literal

from cairn.io.atomic import atomic_path

Taken = Literal["taken", "missing", "not-a-file", "too-large"]
BLOCK = 1 << 20


def take(folder: Path, name: str, to: Path, most_bytes: int) -> Taken:
    """Copy the file ``name`` out of ``folder``.

    Nothing is followed: a link, a pipe, a device, a folder or a second name of another file is refused. What is copied
    is what was opened, whatever the name stands for a moment later.

    Args:
        folder: ``/output`` of an entry that has ended.
        name: a plain file name.
        to: where the copy goes; there is none unless it is taken.
        most_bytes: a larger file is refused.
    """
    try:
        source = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return "missing"
    except OSError:
        return "not-a-file"
    at = os.fstat(source)
    if not stat.S_ISREG(at.st_mode) or at.st_nlink != 1 or at.st_size > most_bytes:
        os.close(source)
        return "too-large" if stat.S_ISREG(at.st_mode) and at.st_nlink == 1 else "not-a-file"
    with os.fdopen(source, "rb") as file:
        to.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(to) as temporary, temporary.open("wb") as out:
            left = most_bytes
            while left > 0 and (block := file.read(min(BLOCK, left))):
                out.write(block)
                left -= len(block)
    return "taken"
