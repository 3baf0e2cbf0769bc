"""Memory and processes of a whole tree, by the kernel's control groups, where this process may make one.

Version 2: beside its own group or below it, where that was delegated (``systemd-run -p DelegateSubgroup=``). Version 1
knows no delegation: in those of the hierarchies ``memory`` and ``pids`` where its own group is the root, so that an
entry never leaves the limits that a batch system has set. Elsewhere none, and `cairn.sandbox.watch` counts by itself,
more coarsely: what a process holds without mapping it goes unseen.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cairn.sandbox.policy import Policy

ROOT = Path("/sys/fs/cgroup")
GROUPS = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Cage:
    """Groups that a process and all its children live in."""

    folders: tuple[Path, ...]

    def enter(self) -> None:
        """Put the calling process in; for use between fork and exec."""
        for folder in self.folders:
            (folder / "cgroup.procs").write_text(str(os.getpid()))

    def peak_mb(self) -> float:
        """Most memory that was in use."""
        values = [_number(f / name) for f in self.folders for name in ("memory.peak", "memory.max_usage_in_bytes")]
        return max(values, default=0) / 1e6

    def out_of_memory(self) -> bool:
        """Whether the kernel killed for memory."""
        return any(
            _event(f / name, "oom_kill") for f in self.folders for name in ("memory.events", "memory.oom_control")
        )

    def out_of_processes(self) -> bool:
        """Whether a fork was refused."""
        return any(_event(f / "pids.events", "max") for f in self.folders)

    def kill(self) -> None:
        """End every process in it."""
        for folder in self.folders:
            if (folder / "cgroup.kill").exists():
                with contextlib.suppress(OSError):
                    (folder / "cgroup.kill").write_text("1")
            for pid in _lines(folder / "cgroup.procs"):
                with contextlib.suppress(OSError):
                    os.kill(int(pid), 9)


@contextmanager
def cage(policy: Policy, wanted: bool = True) -> Iterator[Cage | None]:
    """A cage with the policy's limits, removed afterwards with all that lives in it; None where there can be none."""
    made = _make(policy) if wanted else None
    try:
        yield made
    finally:
        if made is not None:
            _remove(made)


def _make(policy: Policy) -> Cage | None:
    name = f"cairn-{os.getpid()}-{time.monotonic_ns()}"
    memory, pids = str(policy.memory_mb << 20), str(policy.processes)
    if (ROOT / "cgroup.controllers").is_file():
        limits = {"memory.max": memory, "memory.swap.max": "0", "pids.max": pids}
        for place in _delegated():
            if made := _try({place / name: limits}):
                return made
        return None
    roots = [line.split(":")[1] for line in _lines(GROUPS) if line.endswith(":/")]
    plans = {"memory": {"memory.limit_in_bytes": memory}, "pids": {"pids.max": pids}}
    return _try({ROOT / kind / name: limits for kind, limits in plans.items() if kind in roots})


def _delegated() -> list[Path]:
    """Groups of version 2 below which this process may make others: its own, the one above."""
    own = ROOT / next((line[3:] for line in _lines(GROUPS) if line.startswith("0::")), "/").lstrip("/")
    found = [place for place in (own.parent, own) if ROOT in place.parents and _is_delegated(place)]
    for place in found:
        with contextlib.suppress(OSError):  # refused where processes live in it
            (place / "cgroup.subtree_control").write_text("+memory +pids")
    return [*found, *([ROOT] if own == ROOT else [])]


def _is_delegated(place: Path) -> bool:
    """Whether it bears systemd's mark of what was delegated, to a user or to a service of root."""
    for mark in ("user.delegate", "trusted.delegate"):
        with contextlib.suppress(OSError):
            if os.getxattr(place, mark) == b"1":
                return True
    return False


def _try(plans: Mapping[Path, Mapping[str, str]]) -> Cage | None:
    made = Cage(tuple(plans))
    try:
        for folder, limits in plans.items():
            folder.mkdir()
            for file, value in limits.items():
                if file == "memory.swap.max" and not (folder / file).exists():
                    continue  # a kernel without swap accounting
                if not (folder / file).exists():
                    raise OSError(f"{file} is not there")  # a folder that is no control group, or lacks its controller
                (folder / file).write_text(value)
    except OSError:
        _remove(made)
        return None
    return made if plans else None


def _remove(made: Cage) -> None:
    for _ in range(100):
        made.kill()
        for folder in made.folders:
            with contextlib.suppress(OSError):
                folder.rmdir()
        if not any(folder.exists() for folder in made.folders):
            return
        time.sleep(0.02)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []


def _number(file: Path) -> int:
    found = _lines(file)
    return int(found[0]) if found and found[0].isdigit() else 0


def _event(file: Path, name: str) -> int:
    return sum(int(line.split()[1]) for line in _lines(file) if line.split()[0] == name)
