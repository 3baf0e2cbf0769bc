"""Makes ``made`` (made-up preprocessed sessions) and ``backbones`` (a tiny network of every kind) importable."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "train")]


@pytest.fixture
def repository() -> Path:
    """The repository's folder."""
    return HERE.parents[2]
