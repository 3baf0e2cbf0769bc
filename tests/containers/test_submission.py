"""Guards the target ``submission`` to its end: images of a finished row answer as its pipeline did, and the official
validators let them pass. Opt-in.

Needs what `test_image` needs. For the official validators also, in ``CAIRN_TEST_VALIDATOR25`` a checkout of
fomo25/container-validator, in ``CAIRN_TEST_VALIDATOR26`` one of fomo26/container_templates; they are never vendored.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml
from nibabel.processing import resample_from_to

from cairn.challenge.contract import COMMAND, FLAGS, arguments, input_name, suffix_of
from cairn.challenge.predict_entry import list_sessions
from cairn.io.atomic import read_json, sha256
from cairn.io.tables import read_table
from cairn.sandbox.image import open_image
from cairn.sandbox.policy import Policy
from cairn.sandbox.run import run_case

BASE, WHEELS = os.environ.get("CAIRN_TEST_BASE", ""), os.environ.get("CAIRN_TEST_WHEELS", "")
OFFICIAL = {year: os.environ.get(f"CAIRN_TEST_VALIDATOR{year}", "") for year in (25, 26)}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (BASE and WHEELS and shutil.which("apptainer")),
        reason="needs apptainer, CAIRN_TEST_BASE and CAIRN_TEST_WHEELS",
    ),
]
R = Path("results/ci")
CONFIG = ("--configfile", "config/submission.yaml", "--config", "run=mae")
TASKS = {"infarct": "classification", "meningioma": "segmentation", "age": "regression"}
ASKED = {
    25: {"infarct": ("FLAIR", "DWI", "ADC", "SWI", "T2star"), "meningioma": ("FLAIR", "DWI", "SWI", "T2star"),
         "age": ("T1w", "T2w")},
    26: {"infarct": ("FLAIR", "DWI", "ADC", "SWI", "T2star"), "meningioma": ("FLAIR", "DWI", "SWI", "T2star"),
         "age": ("T1w",)},
}  # fmt: skip
NUMBER = {"infarct": "task1", "meningioma": "task2", "age": "task3"}


@pytest.fixture(scope="module")
def submitted(finished, tmp_path_factory):
    """In a copy of the finished experiment: the entries of a row and their images, by the one command."""
    root = tmp_path_factory.mktemp("submission") / "a clonée"
    shutil.copytree(finished.root, root, symlinks=True)
    made = replace(finished, root=root)
    config = yaml.safe_load((root / "config/ci.yaml").read_text())
    config["challenge"] = {"offline": {"base": BASE, "wheels": WHEELS}}
    (root / "config/submission.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    made.snakemake("submission", *CONFIG)
    return made


def image_of(submitted, task):
    return submitted.root / R / f"submission/mae/{task}.sif"


def session_of(submitted, task):
    """The first session of the test set, and the pipeline's row about it."""
    raw = submitted.root / R / f"raw/{task}_test"
    session = list_sessions([raw / "index/0000.tsv"], raw)[0]
    rows = read_table(submitted.root / R / f"predict/mae/{task}/seed-0/predictions.tsv")
    (row,) = [r for r in rows if (r["subject"], r["session"]) == (session.subject, session.session)]
    return session.scans, row


def test_the_plan_is_empty_afterwards_and_cards_say_what_was_built(submitted):
    assert "Nothing to be done" in submitted.plan("submission", *CONFIG)
    for task in TASKS:
        card = read_json(submitted.root / R / f"submission/mae/{task}.sif.run.json")
        assert 100 < card["size_mb"] < 700
        assert card["outputs"][f"{R}/submission/mae/{task}.sif"] == sha256(image_of(submitted, task))
        assert sha256(Path(BASE)) in card["inputs"].values()


@pytest.mark.parametrize("task", TASKS)
def test_an_image_answers_as_the_pipeline(submitted, task, tmp_path):
    scans, row = session_of(submitted, task)
    kind, inputs, output = TASKS[task], tmp_path / "in", tmp_path / "out"
    (inputs / "ses_1").mkdir(parents=True)
    output.mkdir()
    for name, path in scans.items():
        shutil.copyfile(path, inputs / "ses_1" / input_name("fomo25", kind, name))
    answer = output / f"case{suffix_of(kind)}"
    command = [*COMMAND, *arguments("fomo25", kind, scans, answer.name)]
    outcome = run_case(open_image(image_of(submitted, task)), command, inputs, output, Policy(), "apptainer")
    assert outcome.verdict == "ok", outcome
    if kind == "segmentation":
        made = submitted.root / R / f"predict/mae/{task}/seed-0" / row["mask"]
        assert answer.read_bytes() == made.read_bytes()
    else:
        assert answer.read_text() == f"{row['value']}\n"


def staged(submitted, task, year, folder):
    """Scans that a challenge hands over, on one grid as its data are, by argument."""
    scans, _ = session_of(submitted, task)
    given = [name for name in ASKED[year][task] if name in scans]
    like = nib.load(scans[given[0]])
    folder.mkdir(parents=True)
    files = {}
    for name in given:
        flag = FLAGS[f"fomo{year}"][name]
        files[flag] = folder / f"{flag}.nii.gz"
        nib.save(resample_from_to(nib.load(scans[name]), like, order=1), files[flag])
    return files


def official(*line):
    done = subprocess.run([sys.executable, *map(str, line)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.skipif(not OFFICIAL[25], reason="needs CAIRN_TEST_VALIDATOR25")
@pytest.mark.parametrize("task", TASKS)
def test_the_validator_of_fomo25_lets_it_pass(submitted, task, tmp_path):
    """It takes an empty mask for no mask, and that alone is not the image's fault."""
    data, out = tmp_path / "data", tmp_path / "out"
    staged(submitted, task, 25, data / "preprocessed/sub_1/ses_1")
    code, said = official(
        Path(OFFICIAL[25], "main.py"), "--task", NUMBER[task], "--container", image_of(submitted, task),
        "--data-dir", data, "--output-dir", out, "--skip-gpu-check",
    )  # fmt: skip
    if task == "meningioma" and not np.asarray(nib.load(out / "sub_1.nii.gz").dataobj).any():
        assert (code, "Non-binary mask" in said) == (1, True), said
        pytest.skip("the mask is empty, which this validator refuses")
    assert (code, "SUCCESS - All validations passed" in said) == (0, True), said


@pytest.mark.skipif(not OFFICIAL[26], reason="needs CAIRN_TEST_VALIDATOR26")
@pytest.mark.parametrize("task", TASKS)
def test_the_validator_of_fomo26_lets_it_pass(submitted, task, tmp_path):
    files = staged(submitted, task, 26, tmp_path / "data")
    manifest = tmp_path / "manifest.yaml"
    inputs = {flag: str(path) for flag, path in files.items()}
    manifest.write_text(yaml.safe_dump({NUMBER[task]: {"sub_1": {"inputs": inputs}}}))
    code, said = official(
        Path(OFFICIAL[26], "container_validator/validate.py"), "--task", NUMBER[task], "--sif",
        image_of(submitted, task), "--manifest", manifest, "--no-gpu",
    )  # fmt: skip
    assert (code, "ready to submit" in said) == (0, True), said
