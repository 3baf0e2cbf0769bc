"""An image, and entries that are functions."""

import math
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from entrants import TASKS, honest, runner

from cairn.challenge.entry import Entry
from cairn.sandbox.image import Image
from cairn.sandbox.policy import Policy


@pytest.fixture
def image(tmp_path):
    (tmp_path / "image/app").mkdir(parents=True)
    (tmp_path / "image/app/predict.py").touch()
    return Image(str(tmp_path / "image"), "folder")


@pytest.fixture
def entry(image):
    def made(program=honest, kind="classification", contract="fomo25"):
        return Entry(image, TASKS[kind], contract, Policy(), "bubblewrap", math.inf, runner(program))

    return made
