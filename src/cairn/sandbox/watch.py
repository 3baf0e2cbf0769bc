"""What an entry uses while it runs, seen from outside, and its end when that is too much."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import threading
import time
from pathlib import Path
from typing import IO, Literal

import psutil

from cairn.sandbox.cage import Cage
from cairn.sandbox.policy import Policy

Stopped = Literal["time", "memory", "processes", "output-size", "log"]
POLL_S = 0.05
LOG_TIMES = 64  # how much more than what is kept of it an entry may print
BLOCK = 1 << 16
OUT_OF_SIGHT = 1 << 62


def watch(
    child: subprocess.Popen[bytes], output: Path, policy: Policy, limits: Cage | None, log: Log
) -> tuple[Stopped | None, float]:
    """Wait for the end or for the first limit that is broken; the verdict, and the most memory seen (MB)."""
    peak, began = 0.0, time.monotonic()
    while child.poll() is None:
        below = tree(child.pid)
        memory, tasks = use(below, policy.memory_mb)
        peak = max(peak, memory)
        if time.monotonic() - began > policy.seconds:
            return "time", peak
        if memory > policy.memory_mb or (limits is not None and limits.out_of_memory()):
            return "memory", peak
        if tasks >= policy.processes or (limits is not None and limits.out_of_processes()):
            return "processes", peak
        size, files = measure(output, policy.output_files)
        if files > policy.output_files or size + nameless(below, output) > policy.output_mb << 20:
            return "output-size", peak
        if log.seen > LOG_TIMES * (policy.log_kb << 10):
            return "log", peak
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(POLL_S)
    return None, peak


def tree(pid: int) -> list[psutil.Process]:
    """All processes below ``pid``. What loses its parent in a namespace goes to that namespace's first process."""
    with contextlib.suppress(psutil.Error):
        return list(psutil.Process(pid).children(recursive=True))
    return []


def use(below: list[psutil.Process], limit_mb: float) -> tuple[float, int]:
    """Resident memory (MB) and threads of processes.

    Pages that several share are counted for each, as long as that is below the limit; above it, in parts.
    """
    memory, tasks = 0, 0
    for process in below:
        with contextlib.suppress(psutil.Error):
            memory += process.memory_info().rss
            tasks += process.num_threads()
    return (memory if memory / 1e6 <= limit_mb else sum(map(_share, below))) / 1e6, tasks


def _share(process: psutil.Process) -> int:
    """Resident bytes, shared pages divided by how many share them."""
    with contextlib.suppress(OSError, ValueError), Path(f"/proc/{process.pid}/smaps_rollup").open() as lines:
        return next((int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:")), 0)
    with contextlib.suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0


def measure(folder: Path, most: int) -> tuple[int, int]:
    """Bytes on disk (or of content, if that is more) and number of entries below a folder; no link is followed.

    The count ends above ``most``: a folder that grows while it is read would have no end. What is out of sight, in a
    closed folder or under too long a path, counts as too much.
    """
    size, count, waiting = 0, 0, [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    count += 1
                    if count > most:
                        return size, count
                    with contextlib.suppress(FileNotFoundError):
                        at = entry.stat(follow_symlinks=False)
                        size += max(at.st_size, at.st_blocks * 512)
                        if stat.S_ISDIR(at.st_mode):
                            waiting.append(Path(entry.path))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return OUT_OF_SIGHT, count
    return size, count


def nameless(below: list[psutil.Process], output: Path) -> int:
    """Bytes of files on the output's disk that processes hold open after their names are gone."""
    disk, found = output.stat().st_dev, dict[int, int]()
    for process in below:
        with contextlib.suppress(OSError):
            for name in os.listdir(f"/proc/{process.pid}/fd"):
                with contextlib.suppress(OSError):
                    at = os.stat(f"/proc/{process.pid}/fd/{name}")
                    if stat.S_ISREG(at.st_mode) and not at.st_nlink and at.st_dev == disk:
                        found[at.st_ino] = max(at.st_size, at.st_blocks * 512)
    return sum(found.values())


def end(child: subprocess.Popen[bytes], limits: Cage | None) -> None:
    """End the engine and all below it: with the first process of its namespace all others go."""
    below = tree(child.pid)
    with contextlib.suppress(OSError):
        os.killpg(child.pid, 9)
    for process in below:
        with contextlib.suppress(psutil.Error):
            process.kill()
    if limits is not None:
        limits.kill()
    child.wait()
    psutil.wait_procs(below, timeout=10)


class Log:
    """What a process prints: read to its end, kept to a size."""

    def __init__(self, pipe: IO[bytes] | None, keep: int) -> None:
        assert pipe is not None
        self.pipe, self.keep, self.seen, self.data = pipe, keep, 0, bytearray()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while block := os.read(self.pipe.fileno(), BLOCK):
                self.seen += len(block)
                self.data += block[: max(0, self.keep - len(self.data))]

    def text(self) -> str:
        """What was kept, without what would steer a terminal."""
        self.thread.join(timeout=5)
        said = bytes(self.data).decode("utf-8", "replace")
        plain = "".join(c if c.isprintable() or c in "\n\t" else "�" for c in said)
        return plain + ("\n… cut" if self.seen > self.keep else "")
