"""An engine started so that its limits hold from the entry's first instruction on.

bubblewrap builds the namespaces and waits; then the first process in there is given its limits, and let go. Root never
runs an entry as itself: bubblewrap maps who calls it, so that "nobody" inside would be root to the kernel, free of the
limit on processes and owner of root's files. It becomes a real nobody first.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cairn.errors import CairnError
from cairn.sandbox.cage import Cage
from cairn.sandbox.policy import Policy
from cairn.sandbox.render import NOBODY
from cairn.sandbox.seccomp import program

STAGE = "/mnt"  # hidden under an empty folder in the view of nobody's bubblewrap alone
START_S = 30.0
DESCRIPTORS = 1024
NEEDED = ("setpriv", "prlimit")
Inner = Callable[[Callable[[Path], str]], Sequence[str]]


@dataclass(frozen=True)
class Started:
    """An engine that runs, and what it says of itself: a pipe that must stay open as long as it runs."""

    child: subprocess.Popen[bytes]
    said: int | None = None

    def never_ran(self) -> bool:
        """Of an engine that has ended: whether it gave up before the entry's command. Call once; it closes the pipe."""
        if self.said is None:
            return False
        with os.fdopen(self.said, "rb") as said:
            os.set_blocking(self.said, False)
            return b'"exit-code"' not in (said.read() or b"")


class Staged:
    """Where nobody finds the folders of root: folders above them may be closed to others."""

    def __init__(self, writable: Path) -> None:
        self.writable, self.places = writable, dict[Path, str]()

    def __call__(self, place: Path) -> str:
        """Where nobody finds ``place``."""
        return self.places.setdefault(place, f"{STAGE}/{len(self.places)}")

    def around(self, line: Sequence[str]) -> list[str]:
        """The command line that shows these places and becomes nobody, then runs ``line``."""
        shown = [
            part
            for place, where in self.places.items()
            for part in ("--bind" if place == self.writable else "--ro-bind", str(place), where)
        ]
        return [
            "bwrap", "--dev-bind", "/", "/", "--tmpfs", STAGE, *shown, "--cap-drop", "ALL", "--cap-add", "CAP_SETUID",
            "--cap-add", "CAP_SETGID", "--die-with-parent", "--", "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}",
            "--clear-groups", "--inh-caps=-all", "--", *line,
        ]  # fmt: skip


def start_bubblewrap(inner: Inner, output: Path, policy: Policy, limits: Cage | None) -> Started:
    """Start an entry under bubblewrap.

    Args:
        inner: renders bubblewrap's line, given where it finds a folder.
        output: the folder that the entry writes into.
        policy: limits.
        limits: control groups, if there are any.

    Raises:
        CairnError: when the machine refuses the namespaces or lacks a tool (code ``engine``): no fault of the entry.
    """
    root = not os.geteuid()
    for tool in NEEDED:
        if not shutil.which(tool):
            raise CairnError(f"{tool} is not installed.", "Install util-linux (apt install util-linux).", "engine")
    staged = Staged(output)
    line = list(inner(staged if root else str))
    with contextlib.ExitStack() as open_files:
        (said, status), (held, go) = os.pipe(), os.pipe()
        for number in (status, held, go):
            open_files.callback(os.close, number)
        handed = {"--json-status-fd": status, "--block-fd": held}
        if rules := program():
            file = open_files.enter_context(tempfile.TemporaryFile())
            file.write(rules)
            file.seek(0)
            handed["--seccomp"] = file.fileno()
        line[1:1] = [part for name, number in handed.items() for part in (name, str(number))]
        child = start(staged.around(line) if root else line, policy, limits, tuple(handed.values())).child
        try:
            _limit(_first(child, said), policy, root)
            os.write(go, b".")
        except BaseException:
            child.kill()
            child.wait()
            os.close(said)
            raise
    return Started(child, said)


def start(line: Sequence[str], policy: Policy, limits: Cage | None, handed: Sequence[int] = ()) -> Started:
    """Start an engine, in its control groups and with limits on sizes; it sees none of our environment but the path."""
    child = subprocess.Popen(
        line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        preexec_fn=_prepare(policy, limits), env=_environment(), pass_fds=handed,
    )  # fmt: skip
    return Started(child)


def _environment() -> Mapping[str, str]:
    return {"PATH": os.environ.get("PATH", "")}


def _first(child: subprocess.Popen[bytes], said: int) -> int:
    """The process that will be the first of the namespace."""
    heard, began = b"", time.monotonic()
    while time.monotonic() - began < START_S:
        if select.select([said], [], [], 0.05)[0]:
            heard += os.read(said, 1 << 12)
            for text in heard.splitlines():
                with contextlib.suppress(ValueError):
                    return int(json.loads(text)["child-pid"])
        elif child.poll() is not None:
            raise _refused(child)
    raise CairnError("bubblewrap did not start.", "Try again when the machine is less busy.", "engine")


def _refused(child: subprocess.Popen[bytes]) -> CairnError:
    assert child.stdout is not None
    with child.stdout as pipe:
        return no_sandbox(pipe.read(2000).decode("utf-8", "replace"))


def no_sandbox(said: str) -> CairnError:
    """What to tell the organiser when bubblewrap gave up."""
    return CairnError(
        f"bubblewrap cannot make a sandbox here ({said.strip()[-300:]}).",
        "It needs version 0.8 or newer and user namespaces (docs/how-to/run-a-challenge.md).", "engine",
    )  # fmt: skip


def _limit(first: int, policy: Policy, root: bool) -> None:
    """Give the first process its limit on processes, which the kernel counts for its namespace alone."""
    who = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if root else {}
    most = policy.processes
    line = ["prlimit", "--pid", str(first), f"--nproc={most}:{most}"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=_environment(), **who)  # type: ignore[call-overload]
    if done.returncode and Path(f"/proc/{first}").exists():
        raise CairnError(f"prlimit failed ({done.stderr.strip()}).", "Run as an ordinary user.", "engine")


def _prepare(policy: Policy, limits: Cage | None) -> Callable[[], None]:
    """What the child does before it becomes the engine."""

    def prepare() -> None:
        if limits is not None:
            limits.enter()
        caps = {resource.RLIMIT_FSIZE: policy.output_mb << 20, resource.RLIMIT_CORE: 0}
        caps[resource.RLIMIT_NOFILE] = DESCRIPTORS
        for what, value in caps.items():
            hard = resource.getrlimit(what)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(what, (value, value))

    return prepare
