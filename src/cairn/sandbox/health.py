"""Whose fault is a case that never started: the engine's or the entry's? And what an image holds before it is run.

An entry may print what an engine prints, and end with the status that an engine ends with. So neither is believed: what
is asked is something that the entry cannot answer.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cairn.errors import CairnError
from cairn.sandbox.image import Image
from cairn.sandbox.policy import Policy
from cairn.sandbox.render import INPUT, OUTPUT, TOOLS, apptainer
from cairn.sandbox.seccomp import profile

SAID = "FATAL:"
"""With it Apptainer tells why it gave up."""
DAEMON = 125
"""Exit status of Docker and Podman where they gave up before the container's command."""
NEVER = "0001-01-01"
"""When a container started that never has."""
SYSTEM = ("usr", "bin", "lib", "lib64")
WAIT_S = 120.0
LOOK = ("test", "-d")
PROBE = ("/usr/bin/true",)


def container_of(folder: Path) -> str:
    """Name of the container that works in a folder of a case."""
    return folder.name.strip(".")


def check_engine(engine: str, image: Image, policy: Policy, code: int, printed: str, folder: Path) -> None:
    """Tell an engine's own failure from an entry's, once the command of a case has ended by itself.

    Args:
        engine: which one; bubblewrap tells it otherwise (`cairn.sandbox.start`).
        image: what was run; only its kind counts.
        policy: as the case was run.
        code: exit status.
        printed: what it printed.
        folder: closed folder of the case.

    Raises:
        CairnError: when the engine failed (code ``engine``): the job must end, and no entry is to blame.
    """
    why = ""
    if engine == "apptainer" and code and any(line.startswith(SAID) for line in printed.splitlines()):
        why = _cannot_run(image.kind, policy, folder)
    elif engine in ("docker", "podman") and code == DAEMON and not _started(engine, container_of(folder)):
        why = printed or "it printed nothing"
    if why:
        raise CairnError(
            f"{engine} cannot run anything here ({' '.join(why.split())[-300:]}).",
            "Mend the engine; what each needs stands in docs/how-to/run-a-challenge.md.", "engine",
        )  # fmt: skip


def _started(engine: str, container: str) -> bool:
    """Whether a container's command was started; the engine's own record, which the entry cannot reach."""
    line = [engine, "inspect", "--format", "{{.State.StartedAt}}", container]
    clean = {"PATH": os.environ.get("PATH", "")}  # as `cairn.sandbox.start` calls it: one and the same daemon
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=clean)
    return not done.returncode and bool(done.stdout.strip()) and not done.stdout.startswith(NEVER)


def _cannot_run(kind: str, policy: Policy, folder: Path) -> str:
    """Why Apptainer cannot run a program of this machine, called as for a case; empty where it can.

    Asked of a folder, then for a ``.sif`` of a file that is built of it here: a machine may run folders, and lack what
    mounts a file (FUSE, or setuid). Where none can be built, the folder alone tells.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix="probe-") as place:
        root, file = Path(place) / "root", Path(place) / "probe.sif"
        binds = _bare_root(root)
        why = _why(_call(Image(str(root), "folder"), PROBE, policy, Path(place), binds))
        if not why and kind == "sif" and not _run([TOOLS["apptainer"], "build", str(file), str(root)]).returncode:
            why = _why(_call(Image(str(file), "sif"), PROBE, policy, Path(place), binds))
    return why


def _why(done: subprocess.CompletedProcess[str]) -> str:
    return "" if not done.returncode else done.stdout or f"exit status {done.returncode}"


def _bare_root(root: Path) -> list[str]:
    """Make a root folder of mount points alone; binds that show this machine's system there."""
    root.mkdir()
    binds = list[str]()
    for name in SYSTEM:
        own = Path("/", name)
        if own.is_symlink():
            (root / name).symlink_to(os.readlink(own))
        elif own.is_dir():
            (root / name).mkdir()
            binds += ["--bind", f"{own}:{own}:ro"]
    for name in ("app", "dev", "etc", "proc", "sys", "tmp", "input", "output"):
        (root / name).mkdir()
    return binds


def lacks(image: Image, policy: Policy, folder: Path, places: Sequence[str] = (INPUT, OUTPUT)) -> list[str]:
    """Which of ``places`` are no folder in the image itself; in a sandbox they would be mounted, and be there.

    Args:
        image: a root folder or an Apptainer file.
        policy: as a case is run.
        folder: for what comes and goes.
        places: as the image would see them.
    """
    if image.kind == "folder":
        inside = {name: Path(image.path, name.lstrip("/")) for name in places}
        return [name for name, path in inside.items() if path.is_symlink() or not path.is_dir()]
    return [name for name in places if _call(image, [*LOOK, name], policy, folder, None).returncode]


def _call(
    image: Image, command: Sequence[str], policy: Policy, folder: Path, binds: Sequence[str] | None
) -> subprocess.CompletedProcess[str]:
    """Run a command of an image by Apptainer as a case is run, with more binds; with None without any at all."""
    inputs, output, rules = folder / "seen", folder / "left", folder / "rules.json"
    for place in (inputs, output):
        place.mkdir(exist_ok=True)
    rules.write_text(profile(), encoding="utf-8")
    line = apptainer(image, policy, command, inputs, output, {}, rules)
    if binds is None:
        while "--bind" in line:
            at = line.index("--bind")
            del line[at : at + 2]
    line[2:2] = binds or []
    return _run(line)


def _run(line: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run an engine to its end, in the environment that `cairn.sandbox.start` gives it."""
    clean = {"PATH": os.environ.get("PATH", "")}
    try:
        return subprocess.run(
            line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=clean,
            encoding="utf-8", errors="replace", check=False, timeout=WAIT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(line, 124, f"no answer within {WAIT_S:g} s")
