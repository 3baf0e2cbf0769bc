"""Shared by the tests of clusters: one encoder, trained on this machine, that every other way must come to."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from small_s3 import SmallS3
from workplace import CI, ENCODER, Workplace, need


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, new_checkout: Callable) -> Path:
    """Folder in which one encoder of config/ci.yaml was made, from raw heads on, by this machine alone."""
    root = new_checkout(tmp_path_factory.mktemp("cluster") / "trained").root
    Workplace(root).run("--cores", "2", *CI, "--", str(ENCODER))
    return root


@pytest.fixture
def place(trained: Path, tmp_path: Path) -> Iterator[Workplace]:
    """A copy of it to work in."""
    shutil.copytree(trained, tmp_path / "place", symlinks=True)
    work = Workplace(tmp_path / "place")
    yield work
    work.stop()


@pytest.fixture
def s3() -> Iterator[SmallS3]:
    """An empty bucket."""
    need("s3")
    server = SmallS3()
    yield server
    server.stop()
