"""Guards that data sets are read as published: every scan written is found by name and read back voxel by voxel."""

import numpy as np
import pytest
from published import FORMS, KIND, bids, fomo25_task, fomo26_task, fomo60k, fomo300k

from cairn.datasets.index import index_shard
from cairn.datasets.labels import fomo_labels, label_files
from cairn.datasets.layouts import guess_kind, list_scans, survey
from cairn.datasets.layouts.fomo import parts_of, subject_of
from cairn.datasets.layouts.place import find_labels
from cairn.datasets.people import participants, person, years
from cairn.errors import CairnError
from cairn.io.nifti import read_scan
from cairn.io.tables import read_table


@pytest.mark.parametrize("form", FORMS)
def test_every_scan_is_found_under_its_name_and_read_back(form, tmp_path):
    made = FORMS[form](tmp_path)
    found = survey(tmp_path, KIND[form])
    assert {(s.subject, s.session, s.sequence) for s in found.scans} == set(made.scans)
    assert found.leftovers == []
    for scan in found.scans:
        read = read_scan(tmp_path / scan.path)
        np.testing.assert_array_equal(read.data, made.scans[scan.subject, scan.session, scan.sequence])
        assert read.zooms == (10.0, 11.5, 12.0)
        assert scan.size > 0
    assert guess_kind(tmp_path)[0] == KIND[form]


@pytest.mark.parametrize("form", ["fomo60k", "fomo300k", "fomo25", "bids"])
def test_a_root_one_level_too_high_is_mended_and_said(form, tmp_path):
    made = FORMS[form](tmp_path / "release")
    found = survey(tmp_path, KIND[form])
    assert {(s.subject, s.session, s.sequence) for s in found.scans} == set(made.scans)
    assert "release" in found.taken
    assert guess_kind(tmp_path)[0] == KIND[form]


def test_two_data_sets_in_one_folder_are_not_guessed_at(tmp_path):
    fomo60k(tmp_path / "one")
    fomo60k(tmp_path / "two")
    with pytest.raises(CairnError, match=r"2 data sets .*one, two"):
        list_scans(tmp_path, "fomo60k")


@pytest.mark.parametrize(
    ("part", "number"), [("PT001_ClevelandCCF", 1), ("PT030_OpenNeuro", 4), ("PT030_OpenNeuro/ds000001", 2)]
)
def test_one_source_of_a_release_names_its_subjects_as_the_whole_does(part, number, tmp_path):
    made = fomo300k(tmp_path)
    alone = {(s.subject, s.session, s.sequence) for s in list_scans(tmp_path / part, "fomo300k")}
    assert len(alone) == number
    assert alone <= set(made.scans)


def test_people_of_a_release_are_told_by_source_and_session(tmp_path):
    fomo300k(tmp_path)
    people = participants(tmp_path, "fomo300k")
    told = {
        key: tuple(person(people, *key.split("/")).values())
        for key in ("PT001_ClevelandCCF.01/01", "PT002_Some=2EClinic.01/01", "PT002_Some=2EClinic.01/02",
                    "PT030_OpenNeuro.ds000001.01/01", "PT030_OpenNeuro.ds000002.01/01")
    }  # fmt: skip
    assert list(told.values()) == [
        ("34", "M", "PT001_ClevelandCCF"), ("n/a", "F", "PT002_Some.Clinic"), ("46.5", "F", "PT002_Some.Clinic"),
        ("21", "F", "PT030_OpenNeuro"), ("n/a", "n/a", "PT030_OpenNeuro"),
    ]  # fmt: skip
    assert participants(tmp_path / "PT001_ClevelandCCF", "fomo300k") == people


def test_ages_at_a_session_come_before_the_ones_of_a_subject(tmp_path):
    bids(tmp_path)
    people = participants(tmp_path, "bids")
    assert [person(people, "02", s)["age"] for s in ("a", "b")] == ["60", "62"]
    assert person(people, "02", "b")["sex"] == "M"
    assert person(people, "03", "1") == {"age": "n/a", "sex": "n/a", "site": "n/a"}


def test_what_two_rows_of_a_release_say_differently_is_not_known(tmp_path):
    made = fomo300k(tmp_path)
    row = ("PT001_ClevelandCCF", "sub-01", "ses-01", "M")
    made.table(
        "participants.tsv", ("dataset", "participant_id", "session_id", "sex", "age"), (*row, "34"), (*row, "35")
    )
    assert person(participants(tmp_path, "fomo300k"), "PT001_ClevelandCCF.01", "01")["age"] == "n/a"
    assert person(participants(tmp_path, "fomo300k"), "PT001_ClevelandCCF.01", "01")["sex"] == "M"


@pytest.mark.parametrize(
    ("text", "age"), [("034Y", "34"), ("34", "34"), ("46.5", "46.5"), ("40-45", "n/a"), ("89+", "n/a"), ("old", "n/a")]
)
def test_ages_are_plain_numbers_or_none(text, age):
    assert years(text) == age


def test_identifiers_of_sources_are_reversible_and_never_meet():
    sets = [("PT1_a.b", "01"), ("PT1_a", "b.01"), ("PT1_a", "b", "01"), ("PT1 é=", "0-1_2")]
    made = [subject_of(*parts) for parts in sets]
    assert len(set(made)) == len(sets)
    assert [parts_of(one) for one in made] == sets
    assert "/" not in subject_of("a/b", "1")


def test_the_index_of_a_release_names_hashes_and_people(tmp_path):
    made = fomo300k(tmp_path / "release")
    known = index_shard(tmp_path / "release", "fomo300k", "big", 0, 1, tmp_path / "index.tsv")
    rows = read_table(tmp_path / "index.tsv")
    assert len(rows) == len(known) == len(made.scans)
    assert {r["shape"] for r in rows} == {"4x5x6"}
    assert all(len(r["sha256"]) == 64 for r in rows)
    assert {r["site"] for r in rows} == {"PT001_ClevelandCCF", "PT002_Some.Clinic", "PT030_OpenNeuro"}


def test_a_shard_looks_into_its_own_sessions_alone(tmp_path):
    fomo300k(tmp_path)
    (tmp_path / "PT030_OpenNeuro/ds000002/sub-01/ses-01.zip").write_bytes(b"broken")
    asked = list_scans(tmp_path, "fomo300k", lambda subject, session: "ds000001" in subject)
    assert {s.subject for s in asked} == {"PT030_OpenNeuro.ds000001.01"}
    assert list_scans(tmp_path, "fomo300k", lambda subject, session: False) == []


@pytest.mark.parametrize(("make", "value"), [(fomo25_task, "1"), (fomo26_task, "63")])
def test_labels_are_found_beside_the_scans_of_a_fine_tune_set(make, value, tmp_path):
    make(tmp_path / "set")
    for folder in (tmp_path / "set", find_labels(tmp_path / "set")):
        fomo_labels(folder, "regression", "FLAIR", tmp_path / "labels.tsv")
        assert [r["value"] for r in read_table(tmp_path / "labels.tsv")] == [value]
        assert len(label_files(folder)) == 1
    with pytest.raises(CairnError, match="no folder of labels"):
        find_labels(tmp_path / "set" / ("Task_3" if make is fomo25_task else "nowhere"))
