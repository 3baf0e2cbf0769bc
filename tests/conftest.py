"""Shared by all tests: the repository, a copy of it to work in, and one finished small experiment."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

REPO = Path(__file__).resolve().parents[1]
PACKAGES = "results/resources/packages"


@dataclass(frozen=True)
class Checkout:
    """A copy of the working tree in a folder of its own."""

    root: Path

    def snakemake(self, *arguments: str, ok: bool = True) -> str:
        """Run snakemake there on two cores; returns what it printed."""
        return self.python("-m", "snakemake", "--cores", "2", *arguments, ok=ok)

    def python(self, *arguments: str, ok: bool = True) -> str:
        """Run Python there; returns what it printed."""
        command = [sys.executable, *arguments]
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = os.environ | {"PYTHONPATH": str(self.root / "src"), "PATH": path}
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)
        printed = done.stdout + done.stderr
        assert (done.returncode == 0) is ok, printed[-6000:]
        return printed

    def plan(self, *arguments: str) -> str:
        """What a dry run prints."""
        return self.snakemake("--dry-run", *arguments)


@pytest.fixture(scope="session")
def packages() -> Path:
    """The fetched packages, in the repository's own results folder so that later runs find them."""
    (REPO / PACKAGES).parent.mkdir(parents=True, exist_ok=True)
    with (REPO / PACKAGES).parent.joinpath(".tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two workers of one test run may ask at once
        Checkout(REPO).snakemake("fetch", "--nolock")
    return REPO / PACKAGES


class Groups(LoadScopeScheduling):  # type: ignore[misc]
    """With two workers (`-n 2`): what shares a finished experiment, or a package's fixtures, stays with one of them."""

    def _split_scope(self, nodeid: str) -> str:
        where = nodeid.split("::")[0].split("/")[1:]
        if where[0] == "unit":
            return "/".join(where[:2])
        return where[0] if where[0] in ("golden", "hostile") else "experiments"


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    return Groups(config, log)


def make_checkout(folder: Path, packages: Path) -> Checkout:
    """Copy what git would commit, and link the fetched packages in."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPO, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (REPO / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPO / name, folder / name)
    (folder / PACKAGES).parent.mkdir(parents=True, exist_ok=True)
    (folder / PACKAGES).symlink_to(packages, target_is_directory=True)
    return Checkout(folder)


@pytest.fixture(scope="session")
def new_checkout(packages: Path) -> Callable[[Path], Checkout]:
    """Makes a checkout in a folder."""
    return lambda folder: make_checkout(folder, packages)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, packages: Path) -> Checkout:
    """The small experiment of config/ci.yaml, run from raw heads to the page, in a folder with a space and an é."""
    checkout = make_checkout(tmp_path_factory.mktemp("e2e") / "a clonée", packages)
    checkout.snakemake("--configfile", "config/ci.yaml")
    return checkout
