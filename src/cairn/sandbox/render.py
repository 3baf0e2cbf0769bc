"""One policy as the command lines of bubblewrap, Apptainer, Docker and Podman.

The same on each: no network, root and input read-only, not root, no capability, no new privilege, a clean environment,
own process and IPC namespaces. `cairn.sandbox.run` watches over what an engine leaves open.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from cairn.errors import CairnError
from cairn.sandbox.image import Image
from cairn.sandbox.policy import Policy

NOBODY = 65534
INPUT, OUTPUT, SCRATCH = "/input", "/output", "/tmp"
OWN = ("dev", "proc", "sys", "run", "tmp", "input", "output")
"""Places of the root that are never an image's."""
OWN_PROGRAMS = "/opt/venv/bin"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TOOLS = MappingProxyType({"bubblewrap": "bwrap", "apptainer": "apptainer", "docker": "docker", "podman": "podman"})
"""By engine: its program."""


def environment(image: Image, policy: Policy, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """All variables that an entry sees: its own Python comes first, then the base's, then the system's."""
    threads = str(policy.cpus)
    programs = [f"{place}/bin" for place in image.base if Path(place, "bin/python").exists()]
    return {
        "PATH": ":".join([OWN_PROGRAMS, *programs, PATH]), "HOME": SCRATCH, "TMPDIR": SCRATCH, "LANG": "C.UTF-8",
        "USER": "entry", "LOGNAME": "entry",  # MONAI asks, and the user may have no name
        "OMP_NUM_THREADS": threads, "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": threads, **(more or {}),
    }  # fmt: skip


def bubblewrap(
    image: Image, policy: Policy, command: Sequence[str], inputs: Path, output: Path, variables: Mapping[str, str],
    at: Callable[[Path], str] = str,
) -> list[str]:  # fmt: skip
    """Command line of bubblewrap, for a folder image.

    The root is put together out of its top folders on an empty one, so that it needs no mount points and cannot hide
    something under them; then it is made read-only. Nothing is ever mounted below a folder of the image: a link in
    there would lead bubblewrap, which still sees the host, to where it points (`open_image` refuses such images).
    ``at`` tells where bubblewrap finds a folder of the host.

    Raises:
        CairnError: for an image that is no folder, or a policy that shows a GPU.
    """
    if image.kind != "folder":
        raise CairnError(f"{image.path}: bubblewrap runs root folders.", "Unpack it, or install its engine.", "engine")
    if policy.gpu:
        reason = f"{image.path}: bubblewrap shows no GPU."
        raise CairnError(reason, "Set challenge.engine to apptainer, or challenge.policy.gpu to false.", "engine")
    scratch = str(policy.scratch_mb << 20)
    line = [
        "bwrap", "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session",
        "--cap-drop", "ALL", "--uid", str(NOBODY), "--gid", str(NOBODY), "--hostname", "entry", "--clearenv",
        "--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev", "--size", scratch, "--tmpfs", "/dev/shm",
        "--size", scratch, "--tmpfs", SCRATCH,
    ]  # fmt: skip
    line += [*_root(image, at), "--ro-bind", at(inputs), INPUT, "--bind", at(output), OUTPUT]
    line += [part for name, value in sorted(variables.items()) for part in ("--setenv", name, value)]
    return [*line, "--chdir", SCRATCH, "--remount-ro", "/", "--", *command]


def _root(image: Image, at: Callable[[Path], str]) -> list[str]:
    """Binds of an image's top folders, then of the base's where the image has none of that name."""
    root = Path(image.path)
    shown = [(entry, f"/{entry.name}") for entry in sorted(root.iterdir()) if entry.name not in OWN]
    shown += [(Path(place), place) for place in image.base if not os.path.lexists(root / place.lstrip("/"))]
    line = []
    for what, where in shown:
        line += ["--symlink", os.readlink(what), where] if what.is_symlink() else ["--ro-bind", at(what), where]
    return line


def apptainer(
    image: Image, policy: Policy, command: Sequence[str], inputs: Path, output: Path, variables: Mapping[str, str],
    rules: Path | None = None,
) -> list[str]:  # fmt: skip
    """Command line of Apptainer, for a ``.sif`` file or a root folder (a "sandbox").

    Memory and processes are the business of `cairn.sandbox.cage`: Apptainer's own limits ask for systemd.
    ``rules`` is a file with `cairn.sandbox.seccomp.profile`.

    Raises:
        CairnError: for a path that its bind syntax cannot hold.
    """
    for place in (inputs, output):
        if set(":,") & set(str(place)):
            raise CairnError(f"{place}: Apptainer takes no ':' or ',' here.", "Work in another folder.", "engine")
    line = [
        "apptainer", "exec", "--containall", "--cleanenv", "--no-home", "--no-eval", "--no-privs", "--net", "--network",
        "none", "--hostname", "entry", "--bind", f"{inputs}:{INPUT}:ro", "--bind", f"{output}:{OUTPUT}:rw",
        "--pwd", SCRATCH,
    ]  # fmt: skip
    line += ["--nv"] if policy.gpu else []
    line += [] if os.geteuid() else ["--security", f"uid:{NOBODY},gid:{NOBODY}"]  # else it keeps the caller's
    line += ["--security", f"seccomp:{rules}"] if rules else []
    given = {name: value for name, value in variables.items() if name != "HOME"}  # Apptainer's own
    line += [part for name, value in sorted(given.items()) for part in ("--env", f"{name}={value}")]
    return [*line, image.path, *command]


def docker(
    image: Image, policy: Policy, command: Sequence[str], inputs: Path, output: Path, variables: Mapping[str, str],
    program: str = "docker",
) -> list[str]:  # fmt: skip
    """Command line of Docker, for an image that it knows by name.

    The container is left for `cairn.sandbox.run`, which asks whether it ever started, and removes it.

    Raises:
        CairnError: for another image, or a path that its mount syntax cannot hold.
    """
    if image.kind != "oci":
        raise CairnError(f"{image.path}: {program} runs named images.", "Load it, and name docker://NAME.", "engine")
    for place in (inputs, output):
        if "," in str(place):
            raise CairnError(f"{place}: {program} takes no ',' here.", "Work in another folder.", "engine")
    memory, size = f"{policy.memory_mb}m", policy.output_mb << 20
    line = [
        program, "run", "--network", "none", "--read-only", "--user", f"{NOBODY}:{NOBODY}", "--cap-drop", "ALL",
        "--security-opt", "no-new-privileges", "--pids-limit", str(policy.processes), "--memory", memory,
        "--memory-swap", memory, "--cpus", str(policy.cpus), "--shm-size", f"{policy.scratch_mb}m", "--ulimit",
        f"fsize={size}:{size}", "--ulimit", "core=0:0", "--tmpfs",
        f"{SCRATCH}:rw,nosuid,nodev,size={policy.scratch_mb}m",
        "--hostname", "entry", "--ipc", "private", "--entrypoint", "", "--workdir", SCRATCH, "--mount",
        f"type=bind,src={inputs},dst={INPUT},readonly", "--mount", f"type=bind,src={output},dst={OUTPUT}",
    ]  # fmt: skip
    line += ["--gpus", "all"] if policy.gpu else []
    line += [part for name, value in sorted(variables.items()) for part in ("--env", f"{name}={value}")]
    return [*line, image.path.removeprefix("docker://"), *command]


def podman(
    image: Image, policy: Policy, command: Sequence[str], inputs: Path, output: Path, variables: Mapping[str, str]
) -> list[str]:
    """Command line of Podman: Docker's, but that its ``--read-only`` alone leaves /run and /var/tmp open to writing."""
    line = docker(image, policy, command, inputs, output, variables, "podman")
    return [*line[:2], "--read-only-tmpfs=false", *line[2:]]


ENGINES: Mapping[str, Callable[..., list[str]]] = MappingProxyType(
    {"bubblewrap": bubblewrap, "apptainer": apptainer, "docker": docker, "podman": podman}
)
"""By name: what renders a call."""
