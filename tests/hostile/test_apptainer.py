"""Guards the same under Apptainer: a root folder and a .sif file, honest and hostile. Opt-in.

Needs ``apptainer`` on the path, and in ``CAIRN_TEST_ROOT`` a complete root folder with Python 3, such as that of
``mmdebstrap --variant=minbase --include=python3 bookworm FOLDER``.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from test_hostile import LIMITS, QUICK, call, host, inputs, judged

from cairn.sandbox.image import open_image
from cairn.sandbox.run import run_case
from hostile import ENTRIES, make

__all__ = ["host", "inputs"]  # fixtures
ROOT = os.environ.get("CAIRN_TEST_ROOT", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT and shutil.which("apptainer")), reason="needs apptainer and CAIRN_TEST_ROOT"),
]
LIMITED_BY_OTHERS = {"fills-scratch"}  # by Apptainer's own configuration
PLAIN = [n for n, e in ENTRIES.items() if e.kind == "classification" and n not in LIMITED_BY_OTHERS]


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    folder = tmp_path_factory.mktemp("root") / "root"
    subprocess.run(["cp", "-a", ROOT, str(folder)], check=True)
    for name in ("input", "output"):
        (folder / name).mkdir(exist_ok=True)
    return folder


def run(image, hostile, inputs, output):
    output.mkdir()
    policy = QUICK if hostile.verdict == "time" else LIMITS.model_copy(update={"memory_mb": 512, "processes": 64})
    command = [*(hostile.command or ("python3", "/app/predict.py")), *call(hostile.kind)]
    return run_case(image, command, inputs, output, policy, "apptainer")


@pytest.mark.parametrize("name", PLAIN)
def test_every_entry_gets_its_verdict(name, complete, inputs, host, tmp_path):
    shutil.rmtree(complete / "app", ignore_errors=True)
    make(complete, ENTRIES[name].code, **host)
    outcome = run(open_image(complete), ENTRIES[name], inputs, tmp_path / "out")
    assert outcome.verdict == ENTRIES[name].verdict, outcome
    if outcome.verdict == "ok":
        assert judged(ENTRIES[name], inputs, tmp_path) == (ENTRIES[name].found or "ok")


def test_a_file_image_is_run_and_has_the_digest_of_its_bytes(complete, inputs, host, tmp_path):
    shutil.rmtree(complete / "app", ignore_errors=True)
    make(complete, ENTRIES["honest"].code, **host)
    sif = tmp_path / "honest.sif"
    subprocess.run(["apptainer", "build", "--force", str(sif), str(complete)], check=True, capture_output=True)
    image = open_image(sif)
    outcome = run(image, ENTRIES["honest"], inputs, tmp_path / "out")
    assert outcome.verdict == "ok", outcome
    assert judged(ENTRIES["honest"], inputs, tmp_path) == "ok"
    assert len(image.digest()) == 64
    assert image.size_mb() > 10
