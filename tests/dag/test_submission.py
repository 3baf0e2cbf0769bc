"""Guards the target ``submission``: a row's entries and images are planned, from the very models that are scored."""

import shutil
import sys
from pathlib import Path

import pytest
from studies import Study

from cairn.config.challenge import ChallengeConfig

REPO = Path(__file__).resolve().parents[2]
NEEDED = ("Snakefile", "rules", "config", "src", "containers", "workflow", "envs", "data", "profiles", "dvc.yaml")

OFFLINE = "challenge: {offline: {base: a base.sif, wheels: some wheels}}\n"


@pytest.fixture
def checkout(tmp_path):
    """The workflow without any result: nothing is run in it."""
    for name in NEEDED:
        if (REPO / name).is_dir():
            shutil.copytree(REPO / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (REPO / name).is_file():
            shutil.copyfile(REPO / name, tmp_path / name)
    return Study(tmp_path)


def test_submission_plans_an_entry_and_an_image_a_task(checkout):
    command = (sys.executable, "-m", "snakemake", "submission", "--dry-run", "--quiet", "rules", "--cores", "1")
    settings = ("--configfile", "config/ci.yaml", "--config", "run=mae")
    printed = checkout.run(*command, *settings, APPTAINER_COMMAND="sh")
    counts = {words[0]: int(words[1]) for words in map(str.split, printed.splitlines()) if len(words) == 2
              and words[1].isdigit()}  # fmt: skip
    assert (counts["package_entry"], counts["build_image"], counts["finetune_model"]) == (3, 3, 3)
    assert "evaluate_run" not in counts


def test_images_are_built_offline_where_the_configuration_names_a_base(checkout):
    config = checkout.root / "config/offline.yaml"
    config.write_text((checkout.root / "config/ci.yaml").read_text() + OFFLINE)
    command = (sys.executable, "-m", "snakemake", "submission", "--dry-run", "--printshellcmds", "--cores", "1")
    settings = ("--configfile", str(config), "--config", "run=mae")
    assert "a base.sif" in checkout.run(*command, *settings, APPTAINER_COMMAND="sh", ok=False)  # it is not there
    (checkout.root / "a base.sif").touch()
    assert "--base 'a base.sif' --wheels 'some wheels' " in checkout.run(*command, *settings, APPTAINER_COMMAND="sh")


def test_images_are_built_where_apptainer_is(monkeypatch):
    monkeypatch.setenv("APPTAINER_COMMAND", "no-such-apptainer")
    assert [ChallengeConfig(build=b).builds_images for b in ("auto", "context", "sif")] == [False, False, True]
    monkeypatch.setenv("APPTAINER_COMMAND", "sh")
    assert [ChallengeConfig(build=b).builds_images for b in ("auto", "context", "sif")] == [True, False, True]
