"""A folder in which one encoder was trained, and runs of Snakemake in it by one of the optional plugins."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

CI = ("--configfile", "config/ci.yaml")
LIMIT_S = 3600  # against a run that hangs; a quiet machine takes minutes
R = Path("results/ci")
ENCODER = R / "pretrain/mae/seed-0/encoder.safetensors"
PLUGINS = {
    "slurm": "snakemake_executor_plugin_slurm",
    "kubernetes": "snakemake_executor_plugin_kubernetes",
    "s3": "snakemake_storage_plugin_s3",
}


def need(extra: str) -> None:
    """Skip where an optional plugin is not installed."""
    if find_spec(PLUGINS[extra]) is None:
        pytest.skip(f"{PLUGINS[extra]} is not installed: make test-cluster")


class Workplace:
    """A copy of the finished encoder's folder, and runs of Snakemake in it that end, come what may."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.started: list[subprocess.Popen[bytes]] = []

    def forget(self, *places: str) -> None:
        """Remove results and states, so that they must be made."""
        for place in places:
            for path in (self.root / R).glob(place):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def start(self, *arguments: str, seconds: int = LIMIT_S, **variables: str) -> subprocess.Popen[bytes]:
        """Start Snakemake; what it prints is in ``run.log``."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = os.environ | {"PYTHONPATH": str(self.root / "src"), "PATH": path} | variables
        command = ["timeout", "-k", "10", str(seconds), sys.executable, "-m", "snakemake", *arguments]
        with (self.root / "run.log").open("wb") as log:
            run = subprocess.Popen(command, cwd=self.root, env=environment, stdout=log, stderr=log)
        self.started.append(run)
        return run

    def stop(self) -> None:
        """Ask what still runs to end; `timeout` hands it on, and insists."""
        for run in self.started:
            if run.poll() is None:
                run.terminate()
                run.wait()

    def run(self, *arguments: str, seconds: int = LIMIT_S, **variables: str) -> str:
        """Run Snakemake to a good end; returns what it printed."""
        status = self.start(*arguments, seconds=seconds, **variables).wait()
        assert status == 0, self.said()[-6000:]
        return self.said()

    def said(self) -> str:
        """What the last run printed."""
        return (self.root / "run.log").read_text(errors="replace")
