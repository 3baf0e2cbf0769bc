"""Guards the split: every way for a person or a scan to stand on both sides must stop the workflow."""

import pytest

from cairn.datasets.leakage import check_leakage
from cairn.errors import CairnError
from cairn.io.tables import INDEX_COLUMNS, write_table

ROLES = {"big": ["pretrain"], "few": ["finetune"], "test": ["test"]}


def index(folder, dataset, *scans):
    rows = [
        {"dataset": dataset, "subject": s, "session": "1", "sequence": "T1w", "path": f"{s}.nii", "sha256": h}
        for s, h in scans
    ]
    write_table(folder / f"{dataset}.tsv", rows, INDEX_COLUMNS)
    return folder / f"{dataset}.tsv"


def check(folder, big, few, test, identities=None):
    tables = [index(folder, "big", *big), index(folder, "few", *few), index(folder, "test", *test)]
    return check_leakage(tables, ROLES, identities or dict.fromkeys(ROLES, "one"))


def test_disjoint_sets_pass_and_are_counted(tmp_path):
    report = check(tmp_path, [("a", "1"), ("a", "2")], [("b", "3")], [("c", "4")])
    assert report["datasets"]["big"] == {"subjects": 1, "scans": 1}
    assert report["copies"] == {}


@pytest.mark.parametrize("side", ["big", "few"])
def test_shared_subject_stops(tmp_path, side):
    sets = {"big": [("a", "1")], "few": [("b", "2")], "test": [("c", "3")]}
    sets[side].append(("c", "9"))
    with pytest.raises(CairnError, match=f"subject c.*{side}/sub-c in training"):
        check(tmp_path, **sets)


def test_copied_scan_under_another_name_stops(tmp_path):
    with pytest.raises(CairnError, match="one scan, sha256 77"):
        check(tmp_path, [("a", "77")], [("b", "2")], [("c", "77")], identities={"big": "x", "few": "y", "test": "z"})


def test_equal_numbers_in_different_name_spaces_are_different_people(tmp_path):
    check(tmp_path, [("1", "a")], [("1", "b")], [("1", "c")], identities={"big": "x", "few": "y", "test": "z"})


def test_a_set_that_trains_and_tests_stops(tmp_path):
    table = index(tmp_path, "both", ("a", "1"))
    with pytest.raises(CairnError, match="overlap"):
        check_leakage([table], {"both": ["finetune", "test"]}, {"both": "x"})


def test_copies_within_one_side_are_reported_not_refused(tmp_path):
    report = check(tmp_path, [("a", "1"), ("b", "1")], [("d", "3")], [("c", "4")])
    assert list(report["copies"]) == ["1"]
