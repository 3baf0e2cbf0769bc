"""One case in a sandbox: started, watched, ended. Whatever the entry does, this returns with a verdict."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import psutil

from cairn.errors import CairnError
from cairn.sandbox.cage import Cage, cage
from cairn.sandbox.image import Image
from cairn.sandbox.policy import Policy
from cairn.sandbox.render import ENGINES, TOOLS, environment

Verdict = Literal["ok", "failed", "time", "memory", "processes", "output-size", "log", "start"]
Caps = tuple[int, int]
POLL_S = 0.05
LOG_TIMES = 64  # how much more than what is kept of it an entry may print
BLOCK = 1 << 16
SENTENCES: Mapping[Verdict, str] = {
    "ok": "It ended by itself.",
    "failed": "It ended with exit status {code}.",
    "time": "It was stopped after {seconds:g} s of wall time.",
    "memory": "It was stopped for using more than {memory_mb} MB of memory.",
    "processes": "It was stopped for starting more than {processes} processes and threads.",
    "output-size": "It was stopped for writing more than {output_mb} MB or {output_files} files into /output.",
    "log": "It was stopped for printing without end.",
    "start": "It could not be started: {log}",
}
"""What the entrant is told."""
NO_START = (125, 126, 127)  # of engines and shells: not found, or nothing that this machine can execute


@dataclass(frozen=True)
class Outcome:
    """How one case went.

    Attributes:
        verdict: ``ok``, or what was wrong.
        exit_code: of the command; None where it was stopped.
        wall_s: wall time.
        peak_memory_mb: most memory of all its processes together; as far as it could be seen.
        log: what it printed, cut, without control characters.
        output_bytes: size of what it left.
        sentence: for the entrant.
    """

    verdict: Verdict
    exit_code: int | None
    wall_s: float
    peak_memory_mb: float
    log: str
    output_bytes: int
    sentence: str


def engine_for(image: Image) -> str:
    """The engine that runs an image here.

    Raises:
        CairnError: when none is installed (code ``engine``), saying how to get it.
    """
    for name in {"folder": ("bubblewrap", "apptainer"), "sif": ("apptainer",), "oci": ("docker", "podman")}[image.kind]:
        if shutil.which(TOOLS[name]):
            return name
    how = {"folder": "bubblewrap (Debian: apt install bubblewrap)", "sif": "Apptainer", "oci": "Docker or Podman"}
    raise CairnError(f"{image.path}: nothing here can run it.", f"Install {how[image.kind]}.", "engine")


def run_case(
    image: Image,
    command: Sequence[str],
    inputs: Path,
    output: Path,
    policy: Policy,
    engine: str = "auto",
    variables: Mapping[str, str] | None = None,
    groups: bool = True,
) -> Outcome:
    """Run a command of an image on one case.

    Args:
        image: what to run.
        command: program and arguments, as the image sees them.
        inputs: folder that it sees as ``/input``, read-only.
        output: empty folder that it sees as ``/output``. Take out of it by `take` alone.
        policy: limits.
        engine: one of `ENGINES`; ``auto``: the one for this image.
        variables: of its environment, beside those that it always has.
        groups: limit by control groups where possible; without, this process watches, and an ordinary user's processes
            are counted by the kernel.

    Raises:
        CairnError: when no engine can run the image, or nothing here can limit it.
    """
    name = engine_for(image) if engine == "auto" else engine
    where = os.path.realpath(inputs), os.path.realpath(output)
    line = ENGINES[name](image, policy, command, Path(where[0]), Path(where[1]), environment(image, policy, variables))
    if name != "bubblewrap" and not os.geteuid():
        os.chmod(where[1], 0o777)  # the entry is somebody else then
    began = time.monotonic()
    with cage(policy, groups) as limits:
        if limits is None and groups and not os.geteuid():
            raise CairnError(
                "Nothing limits the processes of root where it can make no control group.",
                "Run as an ordinary user.", "engine",
            )  # fmt: skip
        child = subprocess.Popen(
            line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            preexec_fn=_prepare(policy, limits), env={"PATH": os.environ.get("PATH", "")},
        )  # fmt: skip
        log = _Log(child.stdout, policy.log_kb << 10)
        verdict, seen = _watch(child, Path(where[1]), policy, limits, log, began)
        _end(child, limits)
        log.thread.join(timeout=5)
        peak = max(seen, limits.peak_mb() if limits else 0.0)
        if verdict is None and limits is not None:
            verdict = "memory" if limits.out_of_memory() else "processes" if limits.out_of_processes() else None
    code = child.returncode
    if verdict is None and measure(Path(where[1]))[0] > policy.output_mb << 20:
        verdict = "output-size"
    printed = log.text()
    if verdict is None:
        unknown = code in NO_START or printed.startswith(("bwrap: ", "FATAL: "))
        verdict = "ok" if code == 0 else "start" if unknown else "failed"
    stopped = verdict not in ("ok", "failed", "start")
    sentence = SENTENCES[verdict].format(**policy.model_dump(), code=code, log=printed.strip()[-200:])
    return Outcome(
        verdict,
        None if stopped else code,
        time.monotonic() - began,
        peak,
        printed,
        measure(Path(where[1]))[0],
        sentence,
    )


def _prepare(policy: Policy, limits: Cage | None) -> Callable[[], None]:
    """What the child does before it becomes the engine."""

    def prepare() -> None:
        if limits is not None:
            limits.enter()
        size = policy.output_mb << 20
        for what, value in ((resource.RLIMIT_FSIZE, size), (resource.RLIMIT_CORE, 0)):
            resource.setrlimit(what, (value, value))
        if os.geteuid():  # root is exempt
            resource.setrlimit(resource.RLIMIT_NPROC, _within(resource.RLIMIT_NPROC, policy.processes + _mine()))

    return prepare


def _mine() -> int:
    """Threads that this user runs already: the kernel counts them all."""
    return sum(p.num_threads() for p in psutil.process_iter() if p.uids().real == os.getuid())


def _within(what: int, value: int) -> Caps:
    hard = resource.getrlimit(what)[1]
    return (value, hard) if hard == resource.RLIM_INFINITY or value < hard else (hard, hard)


def _watch(
    child: subprocess.Popen[bytes], output: Path, policy: Policy, limits: Cage | None, log: _Log, began: float
) -> tuple[Verdict | None, float]:
    """Wait for the end or for the first limit that is broken; the verdict, and the most memory seen (MB)."""
    peak = 0.0
    while child.poll() is None:
        memory, tasks = _use(child.pid)
        peak = max(peak, memory)
        size, files = measure(output)
        if time.monotonic() - began > policy.seconds:
            return "time", peak
        if limits.out_of_memory() if limits is not None else memory > policy.memory_mb:
            return "memory", peak
        if limits.out_of_processes() if limits is not None else tasks > policy.processes:
            return "processes", peak
        if size > policy.output_mb << 20 or files > policy.output_files:
            return "output-size", peak
        if log.seen > LOG_TIMES * (policy.log_kb << 10):
            return "log", peak
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(POLL_S)
    return None, peak


def _use(pid: int) -> tuple[float, int]:
    """Resident memory of their own (MB) and threads of all processes below ``pid``."""
    memory, tasks = 0, 0
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                info = process.memory_info()
                memory += info.rss - info.shared
                tasks += process.num_threads()
    return memory / 1e6, tasks


def _end(child: subprocess.Popen[bytes], limits: Cage | None) -> None:
    """End the engine and all below it: with the first process of its namespace all others go."""
    below = []
    with contextlib.suppress(psutil.Error):
        below = psutil.Process(child.pid).children(recursive=True)
    with contextlib.suppress(OSError):
        os.killpg(child.pid, 9)
    for process in below:
        with contextlib.suppress(psutil.Error):
            process.kill()
    if limits is not None:
        limits.kill()
    child.wait()


def measure(folder: Path) -> tuple[int, int]:
    """Bytes on disk (or of content, if that is more) and number of entries below a folder; no link is followed."""
    size, count, waiting = 0, 0, [folder]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                count += 1
                with contextlib.suppress(OSError):
                    at = entry.stat(follow_symlinks=False)
                    size += max(at.st_size, at.st_blocks * 512)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
    return size, count


class _Log:
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
        said = bytes(self.data).decode("utf-8", "replace")
        plain = "".join(c if c.isprintable() or c in "\n\t" else "�" for c in said)
        return plain + ("\n… cut" if self.seen > self.keep else "")
