"""Guards `cairn index`: what a folder holds, what cannot be used and why, for a person and as data; its exit status."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cairn.cli import app
from cairn.datasets.inventory import EXAMPLES, inventory_lines, take_inventory
from cairn.errors import CairnError
from cairn.io.nifti import write_scan

sys.path.insert(0, str(Path(__file__).parent / "layouts"))
from published import bids, fomo300k

DATA = np.random.default_rng(0).integers(1, 99, (4, 5, 6)).astype(np.int16)


def test_a_release_is_counted_by_source_sequence_and_people(tmp_path):
    fomo300k(tmp_path)
    found = take_inventory(tmp_path, headers=True)
    assert (found["kind"], found["scans"], found["usable"], found["sessions"], found["subjects"]) == \
        ("fomo300k", 8, 8, 5, 4)  # fmt: skip
    assert found["sequences"] == {"unknown": 3, "T1w": 2, "b0": 1, "DWI": 1, "FLAIR": 1}
    assert found["sources"] == {"PT001_ClevelandCCF": 1, "PT002_Some=2EClinic": 3, "PT030_OpenNeuro": 4}
    assert list(found["people"]["tables"]) == ["participants.tsv", "mapping.tsv", "mri_info.tsv"]
    assert (found["people"]["age_known"], found["people"]["sex_known"]) == (3, 4)
    printed = "\n".join(inventory_lines(found))
    assert "8 of 8 scans can be used (headers checked)" in printed
    assert "participants.tsv: 4 rows; columns dataset, participant_id" in printed


def test_headers_are_opened_when_asked(tmp_path):
    write_scan(tmp_path / "sub_1/ses_1/t1.nii.gz", DATA, np.eye(4))
    (tmp_path / "sub_1/ses_1/t2.nii.gz").write_bytes(b"no scan")
    assert take_inventory(tmp_path)["usable"] == 2
    found = take_inventory(tmp_path, headers=True)
    assert (found["scans"], found["usable"]) == (2, 1)
    assert [(u["path"], u["code"]) for u in found["unused"]] == [("sub_1/ses_1/t2.nii.gz", "not-nifti")]
    assert all(u["remedy"] for u in found["unused"])


def test_a_person_sees_a_few_of_many_and_how_to_see_all(tmp_path):
    write_scan(tmp_path / "sub_1/ses_1/t1.nii.gz", DATA, np.eye(4))
    for number in range(EXAMPLES + 3):
        (tmp_path / f"sub_1/ses_1/{number}.dcm").touch()
    lines = inventory_lines(take_inventory(tmp_path))
    assert f"  suffix ({EXAMPLES + 3}): Convert it to .nii.gz, or leave it: nothing reads it." in lines
    assert "    and 3 more (--json lists all)" in lines


def test_a_table_of_people_that_cannot_be_read_is_named_and_stops_nothing(tmp_path):
    bids(tmp_path)
    (tmp_path / "participants.tsv").write_bytes(b"participant_id\tname\nsub-01\tJos\xe9\n")
    found = take_inventory(tmp_path)
    assert found["scans"] == 7
    assert [(u["path"], u["code"]) for u in found["unused"]] == [("participants.tsv", "table")]


def test_the_command_prints_or_gives_data_and_ends_by_what_can_be_used(tmp_path):
    bids(tmp_path / "good")
    (tmp_path / "good/sub-01/anat/sub-01_T1w\nx.nii.gz").touch()
    told = CliRunner().invoke(app, ["index", str(tmp_path / "good")])
    assert told.exit_code == 0
    assert "sub-01/anat/sub-01_T1w␊x.nii.gz: the name cannot be used" in told.stdout
    data = json.loads(CliRunner().invoke(app, ["index", str(tmp_path / "good"), "--json"]).stdout)
    assert (data["kind"], data["scans"], len(data["unused"])) == ("bids", 7, 1)
    (tmp_path / "bad/sub_1/ses_1").mkdir(parents=True)
    told = CliRunner().invoke(app, ["index", str(tmp_path / "bad"), "--kind", "fomo60k"])
    assert told.exit_code == 1
    assert "sub_1/ses_1: holds no scan" in told.stdout
    wrong = CliRunner().invoke(app, ["index", str(tmp_path / "bad"), "--kind", "fomo"])
    assert isinstance(wrong.exception, CairnError)
    assert "Known are bids, fomo60k, fomo300k, fomo_task." in str(wrong.exception)


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_folder_that_is_nothing_is_an_error_with_a_remedy(name, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CairnError) as refused:
        take_inventory(tmp_path / name)
    assert refused.value.remedy
