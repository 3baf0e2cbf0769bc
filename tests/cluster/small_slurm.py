"""A Slurm of two nodes on this machine, from Debian's packages, for real jobs: up in a second, nothing left behind.

All daemons run as root on loopback, with a key of their own and without accounting. A node is a ``slurmd``; its GPU is
``/dev/zero``, which Slurm counts and hands out like a real one. The executor drops ``SLURM_CONF`` inside jobs, so the
configuration is linked at Slurm's default place while the cluster lives.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

ETC = Path("/etc/slurm")
LINKS = ("slurm.conf", "gres.conf")
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "srun")
NODES = ("n1", "n2")
CONF = """
ClusterName={name}
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/sock
CredType=cred/munge
SlurmctldPort={port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
MpiDefault=none
PropagateResourceLimits=NONE
ReturnToService=2
SlurmdParameters=config_overrides
SlurmdTimeout=10
MinJobAge=3600
KillWait=2
JobRequeue=0
AccountingStorageType=accounting_storage/none
GresTypes=gpu
NodeName=n1 NodeAddr=127.0.0.1 NodeHostname={host} Port={n1} CPUs=8 RealMemory=32000 Gres=gpu:1 State=UNKNOWN
NodeName=n2 NodeAddr=127.0.0.1 NodeHostname={host} Port={n2} CPUs=8 RealMemory=32000 Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


def binary(name: str) -> str | None:
    """Where a program of Slurm is."""
    return shutil.which(name, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))


def why_not() -> str:
    """Why no Slurm can be started here; empty if it can."""
    missing = [name for name in NEEDED if binary(name) is None]
    if missing:
        return f"{', '.join(missing)}: not installed (Debian: slurmctld slurmd slurm-client munge)"
    if os.geteuid() != 0:
        return "Slurm's daemons are started by root here"
    taken = [str(ETC / name) for name in LINKS if (ETC / name).exists() or (ETC / name).is_symlink()]
    return f"{', '.join(taken)}: this machine has a Slurm of its own" if taken else ""


def until(happened: Callable[[], object], seconds: float, what: str) -> None:
    """Wait, at most so long."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.2)


def descendants(pid: int) -> list[int]:
    """A process's children, and theirs."""
    children = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            text = entry.read_text()
            if int(text.rpartition(")")[2].split()[1]) == pid:
                children.append(int(entry.parent.name))
    return [p for child in children for p in [child, *descendants(child)]]


class SmallSlurm:
    """The cluster; ``start`` it, and ``stop`` it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"small{os.getpid()}"
        self.host = socket.gethostname().split(".")[0]
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start the daemons, and wait until both nodes take jobs."""
        for name in ("munge", "state"):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o755)
        munge = self.folder / "munge"
        munge.chmod(0o711)
        (munge / "key").write_bytes(os.urandom(1024))
        (munge / "key").chmod(0o600)
        with socket.socket() as a, socket.socket() as b, socket.socket() as c:
            ports = []
            for s in (a, b, c):
                s.bind(("127.0.0.1", 0))
                ports.append(s.getsockname()[1])
        names = {
            "name": self.name,
            "host": self.host,
            "folder": self.folder,
            "port": ports[0],
            "n1": ports[1],
            "n2": ports[2],
        }
        (self.folder / "slurm.conf").write_text(CONF.format(**names))
        (self.folder / "gres.conf").write_text("NodeName=n1,n2 Name=gpu File=/dev/zero\n")
        ETC.mkdir(exist_ok=True)
        for name in LINKS:
            (ETC / name).symlink_to(self.folder / name)
        self._daemon(
            "munged", "--foreground", "--force", "--key-file", munge / "key", "--socket", munge / "sock",
            "--pid-file", munge / "pid", "--log-file", munge / "log", "--seed-file", munge / "seed",
        )  # fmt: skip
        until((munge / "sock").exists, 60, "munge")
        self._daemon("slurmctld", "-D", "-c", "-i")
        for node in NODES:
            self.start_node(node)
        until(lambda: self.ask("sinfo", "-h", "-o", "%T %D").strip() == "idle 2", 120, "two idle nodes")

    def stop(self) -> None:
        """End all daemons and jobs, and remove the links."""
        for name in (*NODES, "slurmctld", "munged"):
            self._end(name)
        for name in LINKS:
            (ETC / name).unlink(missing_ok=True)

    def start_node(self, node: str) -> None:
        """Start a node's daemon."""
        self._daemon("slurmd", "-D", "-N", node, name=node)

    def crash(self, node: str) -> None:
        """Let a node die, with all that runs on it."""
        self._end(node)

    def ask(self, program: str, *arguments: str) -> str:
        """What a program of Slurm prints."""
        done = subprocess.run([str(binary(program)), *arguments], capture_output=True, text=True, check=False)
        return done.stdout

    def jobs(self) -> list[dict[str, str]]:
        """What Slurm knows of all jobs, ended ones too, by its own names (`scontrol show job`)."""
        lines = self.ask("scontrol", "-o", "show", "job").splitlines()
        return [dict(p.split("=", 1) for p in line.split() if "=" in p) for line in lines if "JobId=" in line]

    def logs(self) -> str:
        """What the daemons said last."""
        return "\n".join(p.read_text(errors="replace")[-1500:] for p in sorted(self.folder.glob("*.log")))

    def _daemon(self, program: str, *arguments: object, name: str = "") -> None:
        log = (self.folder / f"{name or program}.out").open("ab")
        self.daemons[name or program] = subprocess.Popen(
            [str(binary(program)), *map(str, arguments)], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip

    def _end(self, name: str) -> None:
        daemon = self.daemons.pop(name, None)
        if daemon is None:
            return
        steps = self._steps(name) if name in NODES else []
        for pid in [daemon.pid, *steps]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        daemon.wait()

    def _steps(self, node: str) -> list[int]:
        """Processes that watch a node's jobs, and those jobs: they outlive the daemon. The watchers write its log."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                watches = b"slurmstepd" in (entry / "cmdline").read_bytes()
                if watches and self.folder / f"{node}.log" in map(Path.readlink, (entry / "fd").iterdir()):
                    found += [int(entry.name), *descendants(int(entry.name))]
        return found
