"""Which runs are alive in a folder. A Snakemake that is killed leaves its lock files, and they stop the next run.

Every run holds a shared lock of the kernel's on ``.snakemake/cairn.lock`` for its life, and the kernel ends it with the
process. Who gets that lock alone is the only run there: Snakemake's lock files, if any, are then a dead run's.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any, TextIO

from cairn.errors import CairnError
from cairn.io.lock import open_lock, try_lock

LOCKS = ("*.input.lock", "*.output.lock")  # Snakemake 9, persistence/file.py
BOOT = Path("/proc/sys/kernel/random/boot_id")

_held: dict[Path, TextIO] = {}  # open until the process ends, and with them the locks


def hold_run(folder: Path) -> None:
    """Hold this process's run, and remove lock files that dead runs left; where locks do not work, do nothing.

    Args:
        folder: Snakemake's own, ``.snakemake`` of the working directory.
    """
    path = folder.absolute() / "cairn.lock"
    try:
        file = _held.get(path) or open_lock(path)
    except CairnError:
        return  # a folder that cannot be written is Snakemake's to report
    alone = try_lock(file, fcntl.LOCK_EX)
    if alone is None:
        file.close()
        return
    _held[path] = file
    if alone:
        _clear(folder, file)
    fcntl.flock(file, fcntl.LOCK_SH)  # waits at most for another run's _clear


def _clear(folder: Path, file: TextIO) -> None:
    """Remove the lock files that are left, unless they may be another machine's, whose locks might not show here."""
    stale = sorted(p for pattern in LOCKS for p in (folder / "locks").glob(pattern))
    here = {"machine": platform.node(), "boot": _boot()}
    before = _record(file)
    if stale and before and not any(here[k] and before.get(k) == here[k] for k in here):
        print(
            f"cairn: the last run here was on {before.get('machine')}. If it has ended, run `snakemake --unlock`.",
            file=sys.stderr,
        )
        return
    for path in stale:
        path.unlink(missing_ok=True)
    if stale:
        print("cairn: a run that was killed left its locks; they are removed, and this run goes on.", file=sys.stderr)
    try:
        file.seek(0)
        file.truncate()
        file.write(json.dumps({**here, "pid": os.getpid()}) + "\n")
        file.flush()
    except OSError:
        pass  # a full disk: the lock holds without


def _record(file: TextIO) -> dict[str, Any]:
    """Who was alone here last."""
    try:
        file.seek(0)
        found = json.loads(file.read())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _boot() -> str:
    """Names the running kernel: containers on one machine share it. Empty where there is none."""
    try:
        return BOOT.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
