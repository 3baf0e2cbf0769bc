"""Guards the split by names and bytes: a person or a file on two sides must stop the workflow."""

import pytest

from cairn.config.leakage import LeakageConfig
from cairn.datasets.leakage import check_leakage, spelled_alike
from cairn.errors import CairnError
from cairn.io.tables import INDEX_COLUMNS, write_table

STRICT = LeakageConfig()
ROLES = {"big": ["pretrain"], "few": ["finetune"], "test": ["test"]}


def index(folder, dataset, *scans):
    rows = [
        {"dataset": dataset, "subject": s, "session": "1", "sequence": "T1w", "path": f"{s}.nii", "sha256": h}
        for s, h in scans
    ]
    write_table(folder / f"{dataset}.tsv", rows, INDEX_COLUMNS)
    return folder / f"{dataset}.tsv"


def check(folder, big, few, test, identities=None, config=STRICT):
    tables = [index(folder, "big", *big), index(folder, "few", *few), index(folder, "test", *test)]
    return check_leakage(tables, ROLES, identities or dict.fromkeys(ROLES, "one"), config)


def test_disjoint_sets_pass_and_are_counted(tmp_path):
    report = check(tmp_path, [("a", "1"), ("a", "2")], [("b", "3")], [("c", "4")])
    assert report["datasets"]["big"] == {"subjects": 1, "scans": 1}
    assert report["copies"] == {}


@pytest.mark.parametrize("side", ["big", "few"])
def test_shared_subject_stops(tmp_path, side):
    sets = {"big": [("a", "1")], "few": [("b", "2")], "test": [("c", "3")]}
    sets[side].append(("c", "9"))
    with pytest.raises(CairnError, match=rf"subject c \(.*{side}/sub-c in (pretraining|fine-tuning)"):
        check(tmp_path, **sets)


def test_copied_scan_under_another_name_stops(tmp_path):
    with pytest.raises(CairnError, match="one scan, sha256 77"):
        check(tmp_path, [("a", "77")], [("b", "2")], [("c", "77")], identities={"big": "x", "few": "y", "test": "z"})


def test_equal_numbers_in_different_name_spaces_are_different_people(tmp_path):
    check(tmp_path, [("1", "a")], [("1", "b")], [("1", "c")], identities={"big": "x", "few": "y", "test": "z"})


def test_a_set_that_trains_and_tests_stops(tmp_path):
    table = index(tmp_path, "both", ("a", "1"))
    with pytest.raises(CairnError, match="overlap"):
        check_leakage([table], {"both": ["finetune", "test"]}, {"both": "x"}, STRICT)


def test_copies_within_one_side_are_reported_not_refused(tmp_path):
    report = check(tmp_path, [("a", "1"), ("b", "1")], [("d", "3")], [("c", "4")])
    assert list(report["copies"]) == ["1"]


def test_subject_in_pretraining_and_fine_tuning_stops_unless_the_configuration_asks_to_report_it(tmp_path):
    sets = {"big": [("a", "1")], "few": [("a", "2")], "test": [("c", "3")]}
    with pytest.raises(CairnError, match=r"subject a \(big/sub-a in pretraining, few/sub-a in fine-tuning\)"):
        check(tmp_path, **sets)
    report = check(tmp_path, **sets, config=LeakageConfig(pretrain_finetune="report"))
    assert report["reported"] == ["subject a (big/sub-a in pretraining, few/sub-a in fine-tuning)"]


def test_the_test_set_is_apart_whatever_the_configuration_says(tmp_path):
    lenient = LeakageConfig(pretrain_finetune="report", similar_names="report")
    with pytest.raises(CairnError, match="subject c"):
        check(tmp_path, [("a", "1")], [("c", "2")], [("c", "3")], config=lenient)


def test_labelled_sets_may_share_subjects(tmp_path):
    tables = [index(tmp_path, name, ("a", "1")) for name in ("few", "near", "held")]
    roles = {"few": ["finetune"], "near": ["indomain"], "held": ["validation"]}
    check_leakage(tables, roles, dict.fromkeys(roles, "one"), STRICT)


@pytest.mark.parametrize(("one", "other"), [("01", "1"), ("OAS1_0001", "oas1-1"), ("P007", "p7"), ("0", "000")])
def test_one_identifier_in_two_spellings_stops_or_is_reported(tmp_path, one, other):
    sets = {"big": [(one, "1")], "few": [("b", "2")], "test": [(other, "3")]}
    with pytest.raises(CairnError, match="subjects of nearly one name"):
        check(tmp_path, **sets)
    report = check(tmp_path, **sets, config=LeakageConfig(similar_names="report"))
    assert len(report["reported"]) == 1


@pytest.mark.parametrize(("one", "other"), [("1", "10"), ("100", "10"), ("a1", "b1"), ("12", "1a2"), ("1001", "101")])
def test_other_identifiers_are_other_people(one, other):
    assert spelled_alike(one) != spelled_alike(other)


def test_scans_that_could_not_be_hashed_are_not_one_scan(tmp_path):
    check(tmp_path, [("a", "n/a")], [("b", "2")], [("c", "n/a")])
