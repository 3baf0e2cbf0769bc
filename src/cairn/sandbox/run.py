"""One case in a sandbox: started, watched, ended. Whatever the entry does, this returns with a verdict."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from cairn.errors import CairnError
from cairn.sandbox.cage import Cage, cage
from cairn.sandbox.health import check_engine, container_of
from cairn.sandbox.image import Image
from cairn.sandbox.policy import Policy
from cairn.sandbox.render import ENGINES, TOOLS, environment
from cairn.sandbox.seccomp import profile
from cairn.sandbox.start import Started, no_sandbox, start, start_bubblewrap
from cairn.sandbox.watch import Log, Stopped, end, measure, watch

Verdict = Stopped | Literal["ok", "failed", "start"]
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
NO_COMMAND = "bwrap: execvp "
BY_A_SERVICE = ("docker", "podman")  # the entry is somebody else to the kernel, or to its namespace
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


def engine_for(image: Image, wanted: str = "auto", gpu: bool = False) -> str:
    """The engine that runs an image here: the one that is ``wanted``, or what is installed; with ``gpu`` one that
    shows a GPU.

    Raises:
        CairnError: when it is not installed, or none is (code ``engine``), saying how to get it.
    """
    if wanted != "auto":
        if not shutil.which(TOOLS[wanted]):
            reason = f"{image.path}: the engine '{wanted}' is not installed ('{TOOLS[wanted]}' is not on the path)."
            raise CairnError(reason, "Install it, or set challenge.engine (--engine) to auto.", "engine")
        return wanted
    folder = ("apptainer",) if gpu else ("bubblewrap", "apptainer")
    for name in {"folder": folder, "sif": ("apptainer",), "oci": ("docker", "podman")}[image.kind]:
        if shutil.which(TOOLS[name]):
            return name
    how = {"folder": "bubblewrap (Debian: apt install bubblewrap)", "sif": "Apptainer", "oci": "Docker or Podman"}
    needed = "Apptainer, for bubblewrap shows no GPU" if gpu and image.kind == "folder" else how[image.kind]
    raise CairnError(f"{image.path}: nothing here can run it.", f"Install {needed}.", "engine")


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
        inputs: folder that it sees as ``/input``, read-only. Its path, and the output's, can be read in
            ``/proc/self/mountinfo``: they must not tell a label.
        output: empty folder that it sees as ``/output``. Take out of it by `take` alone. Emptied where the entry wrote
            too much.
        policy: limits.
        engine: one of `ENGINES`; ``auto``: the one for this image.
        variables: of its environment, beside those that it always has.
        groups: limit by control groups where possible; without, this process watches, and the kernel counts processes.

    Raises:
        CairnError: when no engine can run the image, it fails itself, or nothing can limit it (code ``engine``); when
            the output is not empty, or the inputs are closed to the nobody that root runs an entry as (code
            ``sandbox``).
    """
    name = engine_for(image, engine)
    inputs, variables = Path(os.path.realpath(inputs)), environment(image, policy, variables)
    if not os.geteuid():
        _check_readable(inputs)
    with _fresh(output, not os.geteuid() or name in BY_A_SERVICE) as place, cage(policy, groups) as limits:
        call = partial(ENGINES[name], image, policy, command, inputs, place, variables)
        with _started(name, call, place, policy, limits) as started:
            began, child = time.monotonic(), started.child
            log = Log(child.stdout, policy.log_kb << 10)
            try:
                stopped, peak = watch(child, place, policy, limits, log)
            finally:
                end(child, limits)
            wall = time.monotonic() - began
            if stopped is None:
                check_engine(name, image, policy, child.returncode, log.text(), place.parent)
        if started.never_ran() and stopped is None and not log.text().startswith(NO_COMMAND):
            raise no_sandbox(log.text())
        if limits is not None:
            peak = max(peak, limits.peak_mb())
            refused: Stopped | None = "processes" if limits.out_of_processes() else None
            stopped = stopped or ("memory" if limits.out_of_memory() else refused)
        left, count = measure(place, policy.output_files)
        if stopped == "output-size" or left > policy.output_mb << 20 or count > policy.output_files:
            stopped = stopped or "output-size"
            _empty(place)
    return _outcome(policy, stopped, child.returncode, wall, peak, log.text(), left)


@contextmanager
def _started(
    name: str, call: Callable[..., list[str]], place: Path, policy: Policy, limits: Cage | None
) -> Iterator[Started]:
    """The engine at work. Docker's own program is no more than a messenger, so its container is ended by name."""
    if name == "bubblewrap":
        yield start_bubblewrap(lambda at: call(at=at), place, policy, limits)
        return
    if name == "apptainer":
        if limits is None and not os.geteuid():
            reason = "Apptainer as root: nothing limits the processes where no control group can be made."
            raise CairnError(reason, "Run as an ordinary user, or with bubblewrap.", "engine")
        rules = place.with_name("rules.json")
        rules.write_text(profile(), encoding="utf-8")
        yield start(call(rules=rules), policy, limits)
        return
    line, called = call(), container_of(place.parent)
    line[2:2] = ["--name", called]
    try:
        yield start(line, policy, limits)
    finally:
        _system(name, "rm", "--force", called)


def _outcome(
    policy: Policy, stopped: Stopped | None, code: int, wall: float, peak: float, printed: str, left: int
) -> Outcome:
    unknown = code in NO_START or printed.startswith(("bwrap: ", "FATAL: "))
    verdict: Verdict = stopped or ("ok" if code == 0 else "start" if unknown else "failed")
    sentence = SENTENCES[verdict].format(**policy.model_dump(), code=code, log=printed.strip()[-200:])
    return Outcome(verdict, None if stopped else code, wall, peak, printed, left, sentence)


def _check_readable(inputs: Path) -> None:
    """Root runs an entry as nobody, who sees what is open to all."""
    for folder, _, files in os.walk(inputs):
        for place in (Path(folder), *(Path(folder, file) for file in files)):
            needed = 0o5 if place.is_dir() else 0o4
            if place.stat().st_mode & needed != needed:
                raise CairnError(f"{place}: closed to others.", "Stage it readable for all (chmod o+rX).", "sandbox")


@contextmanager
def _fresh(output: Path, stranger: bool) -> Iterator[Path]:
    """A folder to write into, closed to the other users of this machine; afterwards it is ``output``, and ours.

    ``stranger``: who writes is somebody else to the kernel. The folder above it is closed, so that it may be open.
    Else what an entry leaves with a setuid bit would be a program of the organiser's for any of them to call.
    """
    output = Path(os.path.realpath(output))
    if any(output.iterdir()):
        raise CairnError(f"{output}: not empty.", "Name an empty folder for each case.", "sandbox")
    closed = Path(tempfile.mkdtemp(dir=output.parent, prefix=".sandbox-"))
    place = closed / "output"
    try:
        place.mkdir()
        place.chmod(0o777 if stranger else 0o755)
        yield place
        _system("chmod", "-R", "u+rwX,go-w,ug-s", str(place))
        if not os.geteuid():
            _system("chown", "-R", "-h", "-P", "0:0", str(place))
        place.rename(output)
    finally:
        _system("rm", "-rf", str(closed))


def _empty(place: Path) -> None:
    _system("chmod", "-R", "u+rwX", str(place))
    _system("rm", "-rf", str(place))
    place.mkdir()


def _system(*line: str) -> None:
    """A tool of the system, on a tree that a stranger made: it follows no link, and goes as deep as he has dug."""
    subprocess.run(line, check=False, capture_output=True)
