"""Guards the image itself: built without a network, run sealed off, it gives the pipeline's bytes. Opt-in.

Needs Apptainer (``apptainer`` on the path, or ``APPTAINER_COMMAND`` for the build), in ``CAIRN_TEST_BASE`` a base image
(any Debian with Python 3.11 and its venv, as a ``.sif``), in ``CAIRN_TEST_WHEELS`` a folder of the wheels that
``torch.txt`` and ``requirements.txt`` of a context name.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit/challenge"))

from study import make_study

from cairn.challenge.contract import COMMAND, SECONDS, arguments, input_name
from cairn.challenge.finished import bundle_of
from cairn.challenge.package import build, package
from cairn.sandbox.image import open_image
from cairn.sandbox.policy import Policy
from cairn.sandbox.run import run_case

REPO = Path(__file__).resolve().parents[2]
BASE, WHEELS = os.environ.get("CAIRN_TEST_BASE", ""), os.environ.get("CAIRN_TEST_WHEELS", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (BASE and WHEELS and shutil.which("apptainer")),
        reason="needs apptainer, CAIRN_TEST_BASE and CAIRN_TEST_WHEELS",
    ),
]
SEQUENCES = ("FLAIR", "DWI")


def test_the_image_answers_as_the_pipeline(tmp_path):
    study = make_study(tmp_path / "study")
    row = study.row("scratch", "lesion")
    package(bundle_of(study.results, "scratch", "lesion"), tmp_path / "context", REPO)
    size = build(tmp_path / "context", tmp_path / "entry.sif", (Path(BASE), Path(WHEELS)))
    assert 100 < size < 700
    inputs, output = tmp_path / "in", tmp_path / "out"
    (inputs / "ses_1").mkdir(parents=True)
    output.mkdir()
    for name in SEQUENCES:
        shutil.copyfile(study.scans[name], inputs / "ses_1" / input_name("fomo26", "segmentation", name))
    command = [*COMMAND, *arguments("fomo26", "segmentation", SEQUENCES, "case.nii.gz")]
    outcome = run_case(open_image(tmp_path / "entry.sif"), command, inputs, output, Policy(), "apptainer")
    assert outcome.wall_s < Policy().seconds == SECONDS["fomo25"]
    assert outcome.verdict == "ok", outcome
    assert (output / "case.nii.gz").read_bytes() == (study.answers("scratch", "lesion") / row["mask"]).read_bytes()
