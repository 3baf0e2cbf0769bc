"""Starting the processes that train one model, and what each of them does: ``python -m cairn.train.launch FILE``.

The process that was asked to pretrain starts ``torchrun`` on this module, waits, and gives back what the first process
found. In a Slurm job of several nodes ``srun`` starts a ``torchrun`` on each, and they meet on the node of the process
that asked; elsewhere, an environment variable holds the command that starts all of them. No process survives the one
that asked: the first reads a pipe that ends with it, and the others fail without the first.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cairn.config.training import PretrainConfig
from cairn.errors import CairnError
from cairn.io.atomic import disk_errors, write_text
from cairn.train.distributed import launched

LAUNCHER = "CAIRN_LAUNCHER"
"""Command that starts the processes on several machines, such as ``srun torchrun --nnodes 2 …``; ``-m`` and what
follows are appended. Without it, Slurm is asked for several nodes, and one machine starts its own."""
SLURM_JOB = "SLURM_JOB_ID"
PATHS = ("state", "weights", "history")


def launch(request: Mapping[str, Any], folder: Path, config: PretrainConfig) -> dict[str, Any]:
    """Pretrain in several processes; returns the facts of the first.

    Args:
        request: arguments of `cairn.train.pretrain.pretrain`.
        folder: the job's state folder; the request lies beside it, where all machines see it.
        config: how many, on how many nodes.

    Raises:
        CairnError: that of a process, or that they ended without a word; or this is one of several already; or there
            are to be several nodes, and nothing that starts processes on them.
    """
    if launched():
        reason = "This job was started by torchrun, which it would start itself."
        raise CairnError(
            reason, f"Start it plainly; {LAUNCHER} may hold the command for several machines.", "processes"
        )
    place = folder.with_name(f".launch-{folder.name}")
    shutil.rmtree(place, ignore_errors=True)  # of a job that was killed
    file, answer = place / "request.json", place / "answer.json"
    with disk_errors(place):
        place.mkdir(parents=True)
    write_text(file, json.dumps(request, default=str))
    try:
        with subprocess.Popen([*command(config, request["threads"]), str(file)], stdin=subprocess.PIPE) as started:
            try:
                status = started.wait()
            except BaseException:  # asked to stop: the launcher hands it on to its processes
                started.terminate()
                raise
        found = json.loads(answer.read_text()) if answer.is_file() else {}
    finally:
        shutil.rmtree(place, ignore_errors=True)
    if "error" in found:
        raise CairnError(*found["error"])
    if status or "facts" not in found:
        reason = f"{config.processes} processes were to train together, and ended with status {status}."
        raise CairnError(reason, "What they said stands above; run again: training goes on.", code="processes")
    return dict(found["facts"])


def command(config: PretrainConfig, threads: int) -> list[str]:
    """What starts the processes of this module; the request's file is to follow.

    Args:
        config: how many, on how many nodes.
        threads: on each node.
    """
    given = shlex.split(os.environ.get(LAUNCHER, ""))
    return [*(given or _launcher(config, threads)), "-m", "cairn.train.launch"]


def _launcher(config: PretrainConfig, threads: int) -> list[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={config.per_node}"]
    if config.nodes == 1:
        return [*torchrun, "--standalone"]
    job = os.environ.get(SLURM_JOB)
    if job is None:
        reason = f"pretrain.nodes is {config.nodes}, and this is no job of Slurm's."
        remedy = f"Run with the profile for Slurm, set pretrain.nodes to 1, or let {LAUNCHER} hold what starts them."
        raise CairnError(reason, remedy, "processes")
    tasks = [f"--nodes={config.nodes}", f"--ntasks={config.nodes}", "--ntasks-per-node=1"]
    meet = [f"--rdzv-endpoint={socket.gethostname()}:{_port(job)}", f"--rdzv-id={job}", "--rdzv-backend=c10d"]
    srun = ["srun", *tasks, f"--cpus-per-task={threads}", "--kill-on-bad-exit=1"]
    return [*srun, *torchrun, f"--nnodes={config.nodes}", *meet]


def _port(job: str) -> int:
    """Where the processes of a job meet: jobs that share a node take different ports, of those that nobody is given."""
    return 20000 + int(job) % 10000


def main(file: Path) -> None:
    """Be one of the processes."""
    if os.environ["RANK"] == "0":
        threading.Thread(target=_end_with_the_asker, daemon=True).start()
    answer = file.with_name("answer.json")
    try:
        from cairn.train.pretrain import pretrain

        facts = pretrain(**read_request(file), member=True)
    except CairnError as error:
        write_text(answer, json.dumps({"error": [error.reason, error.remedy, error.code]}))
        raise SystemExit(f"process {os.environ['RANK']}: {error}") from None
    if os.environ["RANK"] == "0":
        write_text(answer, json.dumps({"facts": facts}))


def read_request(file: Path) -> dict[str, Any]:
    """The arguments of `cairn.train.pretrain.pretrain`."""
    request: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    paths = {name: Path(request[name]) for name in PATHS}
    return {**request, **paths, "shards": [Path(shard) for shard in request["shards"]]}


def _end_with_the_asker() -> None:
    """End this process when the pipe does, which is when the process that asked has ended, however it did."""
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
