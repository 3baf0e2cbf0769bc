"""A finished small study with a folder of real scans in it, and a clone of it that DVC restored."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from studies import Study, add_real_scans


@pytest.fixture(scope="session")
def study(finished, tmp_path_factory) -> Study:
    """The finished experiment, fine-tuned for age on a folder of real scans instead, and predicting it; under git."""
    root = tmp_path_factory.mktemp("dag") / "a study"
    shutil.copytree(finished.root, root, symlinks=True)
    made = Study(root)
    packages = root / "results/resources/packages"
    real = packages.resolve()
    packages.unlink()  # the fixture's link to the repository's own folder
    shutil.copytree(real, packages)
    add_real_scans(root)
    made.snakemake()
    for command in (
        ["init", "-q"], ["config", "user.email", "a@b.c"], ["config", "user.name", "a"], ["add", "-A"],
        ["commit", "-qm", "study"],
    ):  # fmt: skip
        made.run("git", *command)
    return made


@pytest.fixture(scope="session")
def pushed(study, tmp_path_factory) -> Study:
    """The study, its results in DVC and in a remote folder, its lock in git."""
    remote = tmp_path_factory.mktemp("remote")
    study.run("dvc", "remote", "add", "-d", "store", str(remote))
    study.run("dvc", "add", "-q", "data/my scans", "data/labels.tsv")
    study.run("dvc", "commit", "-q", "-f")
    study.run("dvc", "push", "-q")
    study.run("git", "add", "-A")
    study.run("git", "commit", "-qm", "results")
    return study


@pytest.fixture(scope="session")
def clone(pushed, tmp_path_factory) -> Study:
    """A fresh clone in a folder of another name, after `dvc pull`."""
    root = tmp_path_factory.mktemp("elsewhere") / "an other clöne"
    pushed.run("git", "clone", "-q", str(pushed.root), str(root))
    made = Study(root)
    made.run("dvc", "pull", "-q")
    return made
