"""Guards that the BIDS tree of the tests is BIDS: the standard's own validator, offline, finds no error in it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from published import bids

from cairn.datasets.layouts import survey

pytestmark = pytest.mark.slow


def errors(root: Path) -> set[tuple[str, str]]:
    """Code and place of every error of bids-validator (a test tool, envs/test.in)."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    tool = shutil.which("bids-validator-deno", path=path)
    if tool is None:
        pytest.skip("bids-validator-deno is not installed")
    done = subprocess.run([tool, "--json", str(root)], capture_output=True, text=True, check=False, timeout=120)
    issues = json.loads(done.stdout)["issues"]["issues"]
    return {(issue["code"], issue["location"]) for issue in issues if issue["severity"] == "error"}


def test_the_tree_of_the_tests_is_bids_and_what_the_standard_refuses_is_left_out(tmp_path):
    made = bids(tmp_path)
    assert errors(tmp_path) == set()
    shutil.copy(tmp_path / "sub-01/anat/sub-01_T1w.nii.gz", tmp_path / "sub-01/anat/sub-01_T1.nii.gz")
    shutil.copy(tmp_path / "sub-01/anat/sub-01_T1w.nii.gz", tmp_path / "sub-01/anat/sub-03_T1w.nii.gz")
    refused = {place for _, place in errors(tmp_path)}
    assert {"/sub-01/anat/sub-01_T1.nii.gz", "/sub-01/anat/sub-03_T1w.nii.gz"} <= refused
    found = survey(tmp_path, "bids")
    assert [u.path for u in found.leftovers] == ["sub-01/anat/sub-03_T1w.nii.gz"]
    assert len(found.scans) == len(made.scans) + 1, "a misspelt suffix is of use all the same"
