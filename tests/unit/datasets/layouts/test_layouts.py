"""Guards the reading of foreign folder trees: names become subject, session and sequence, and clashes are refused."""

from pathlib import Path

import pytest

from cairn.datasets.layouts import bids_sequence, fomo_sequence, list_scans
from cairn.errors import CairnError


def touch(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    return root


@pytest.mark.parametrize(
    ("stem", "sequence"),
    [("t1", "T1w"), ("mprage", "T1w"), ("t1_2", "T1w_2"), ("dwi_b1000", "DWI"), ("swi", "SWI"), ("t2s", "T2star"),
     ("flair", "FLAIR"), ("adc", "ADC"), ("scan", "unknown"), ("localizer", "unknown"), ("scan_3", "unknown_3")],
)  # fmt: skip
def test_fomo_names(stem, sequence):
    assert fomo_sequence(stem) == sequence


@pytest.mark.parametrize(
    ("stem", "sequence"),
    [("sub-1_T1w", "T1w"), ("sub-1_ses-2_run-02_T1w", "T1w_2"), ("sub-1_ce-gd_T1w", "T1c"),
     ("sub-1_desc-adc_dwi", "ADC"),
     ("sub-1_acq-hires_FLAIR", "FLAIR_hires"), ("sub-1_part-phase_swi", None), ("sub-1_bold", None)],
)  # fmt: skip
def test_bids_names(stem, sequence):
    assert bids_sequence(stem) == sequence


def test_bids_tree_with_and_without_sessions(tmp_path):
    touch(
        tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", "sub-02/ses-a/anat/sub-02_ses-a_T2w.nii",
        "sub-02/ses-a/dwi/sub-02_dwi.nii.gz", "sub-02/ses-a/ct/sub-02_ses-a_ct.nii.gz",
        "derivatives/sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_T1w.json", "sub-01/anat/.hidden.nii.gz",
    )  # fmt: skip
    found = [(s.subject, s.session, s.sequence) for s in list_scans(tmp_path, "bids")]
    assert found == [("01", "1", "T1w"), ("02", "a", "CT"), ("02", "a", "DWI"), ("02", "a", "T2w")]


def test_fomo_tree(tmp_path):
    touch(tmp_path, "sub_7/ses_1/t1.nii.gz", "sub_7/ses_1/t1_2.nii.gz", "sub_7/ses_2/flair.nii.gz")
    found = [(s.subject, s.session, s.sequence) for s in list_scans(tmp_path, "fomo60k")]
    assert found == [("7", "1", "T1w"), ("7", "1", "T1w_2"), ("7", "2", "FLAIR")]


def test_a_lone_variant_is_the_sessions_scan_and_a_second_keeps_its_name(tmp_path):
    touch(
        tmp_path, "sub-01/anat/sub-01_acq-mprage_T1w.nii.gz", "sub-02/anat/sub-02_acq-a_T1w.nii.gz",
        "sub-02/anat/sub-02_acq-b_T1w.nii.gz", "sub-03/anat/sub-03_run-02_T1w.nii.gz",
    )  # fmt: skip
    found = [(s.subject, s.sequence, s.path[-18:]) for s in list_scans(tmp_path, "bids")]
    assert [f[:2] for f in found] == [("01", "T1w"), ("02", "T1w"), ("02", "T1w_b"), ("03", "T1w")]
    assert "acq-a" in found[1][2]


def test_two_files_for_one_scan_are_refused_by_name(tmp_path):
    touch(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_T1w.nii")
    with pytest.raises(CairnError, match=r"sub-01_T1w\.nii.*both claim to be T1w of subject 01"):
        list_scans(tmp_path, "bids")


def test_missing_and_empty_roots_say_what_is_expected(tmp_path):
    with pytest.raises(CairnError, match="no such folder"):
        list_scans(tmp_path / "nowhere", "bids")
    with pytest.raises(CairnError, match=r"no scan found.*sub_\*/ses_\*"):
        list_scans(tmp_path, "fomo60k")


def test_unusable_identifier_is_refused(tmp_path):
    touch(tmp_path, "sub-a b/anat/sub-a b_T1w.nii.gz")
    with pytest.raises(CairnError, match="letters and digits"):
        list_scans(tmp_path, "bids")
