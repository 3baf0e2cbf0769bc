"""Guards the reading of foreign folder trees: names become subject, session and sequence, and clashes are refused."""

import os
from pathlib import Path

import pytest

from cairn.datasets.layouts import CODES, guess_kind, is_unknown, list_scans, survey
from cairn.datasets.layouts.sequences import bids_name, fomo_name
from cairn.errors import CairnError


def touch(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    return root


@pytest.mark.parametrize(
    ("stem", "sequence"),
    [("t1", "T1w"), ("mprage", "T1w"), ("t1_2", "T1w_2"), ("dwi_b1000", "DWI"), ("swi", "SWI"), ("t2s", "T2star"),
     ("flair", "FLAIR"), ("adc", "ADC"), ("scan", "unknown"), ("localizer", "unknown"), ("scan_3", "unknown_3"),
     ("T1w", "T1w"), ("t2*", "T2star"), ("minIP", "minIP"), ("gre", "T2star"), ("t1ce", "T1c"), ("pd", "PD"),
     ("bval0", "b0"), ("dwi_b0", "b0"), ("bval1000", "DWI"), ("dwi_bval2000", "DWI_b2000"), ("dwi_b1000_2", "DWI_2"),
     ("run-2_t1w", "T1w_2"), ("sub-1_ses-2_acq-hires_flair", "FLAIR_hires"), ("ce-gd_t1w", "T1c"), ("asl", "ASL"),
     ("t1map", "map"), ("acq-3d_mystery", "unknown"), ("ce-t1w", "T1c")],
)  # fmt: skip
def test_fomo_names(stem, sequence):
    assert fomo_name(stem).sequence == sequence
    assert is_unknown(sequence) is sequence.startswith("unknown")


@pytest.mark.parametrize(
    ("stem", "sequence"),
    [("sub-1_T1w", "T1w"), ("sub-1_ses-2_run-02_T1w", "T1w_2"), ("sub-1_ce-gd_T1w", "T1c"),
     ("sub-1_desc-adc_dwi", "ADC"),
     ("sub-1_acq-hires_FLAIR", "FLAIR_hires"), ("sub-1_part-phase_swi", None), ("sub-1_bold", None),
     ("sub-1_dir-AP_dwi", "DWI_AP"), ("sub-1_UNIT1", "T1w"), ("sub-1_T1map", None),
     ("sub-1_part-mag_T2starw", "T2star"),
     ("sub-1_acq-a_rec-b_run-x_T2w", "T2w_ab")],
)  # fmt: skip
def test_bids_names(stem, sequence):
    named = bids_name(stem)
    assert (named.sequence if named else None) == sequence


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


def test_the_same_scan_twice_is_used_once_and_said(tmp_path):
    touch(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_T1w.nii")
    found = survey(tmp_path, "bids")
    assert [s.path for s in found.scans] == ["sub-01/anat/sub-01_T1w.nii"]
    assert [(u.path, u.code) for u in found.leftovers] == [("sub-01/anat/sub-01_T1w.nii.gz", "duplicate")]
    assert "'sub-01/anat/sub-01_T1w.nii' is the same scan" in found.leftovers[0].reason


def test_scans_of_one_sequence_under_several_names_are_numbered(tmp_path):
    touch(tmp_path, *(f"sub_1/ses_1/{n}.nii.gz" for n in ("mprage", "t1", "t1_2", "localizer", "scan", "scan_2")))
    found = {s.sequence: s.path.rpartition("/")[2] for s in list_scans(tmp_path, "fomo60k")}
    assert found == {
        "T1w": "mprage.nii.gz", "T1w_3": "t1.nii.gz", "T1w_2": "t1_2.nii.gz",
        "unknown": "localizer.nii.gz", "unknown_3": "scan.nii.gz", "unknown_2": "scan_2.nii.gz",
    }  # fmt: skip


def test_missing_and_empty_roots_say_what_is_expected(tmp_path):
    with pytest.raises(CairnError, match="no such folder"):
        list_scans(tmp_path / "nowhere", "bids")
    with pytest.raises(CairnError, match=r"no scan found.*sub_\*/ses_\*"):
        list_scans(tmp_path, "fomo60k")


HOSTILE = {
    "sub-a b/anat/sub-a b_T1w.nii.gz": ("sub-a b", "bad-name"),
    "sub-02/anat/sub-02_T1w\nx.nii.gz": ("sub-02/anat/sub-02_T1w␊x.nii.gz", "bad-name"),
    "sub-02/anat/sub-02_T1w .nii.gz": ("sub-02/anat/sub-02_T1w .nii.gz", "sequence"),
    "sub-02/anat/sub-02  T1w.nii.gz": ("sub-02/anat/sub-02  T1w.nii.gz", "bad-name"),
    "sub-02/anat/sub-02_T1w.mgz": ("sub-02/anat/sub-02_T1w.mgz", "suffix"),
    "sub-02/anat/sub-02_T1w.dcm": ("sub-02/anat/sub-02_T1w.dcm", "suffix"),
    "sub-02/anat/sub-02_bold.nii.gz": ("sub-02/anat/sub-02_bold.nii.gz", "sequence"),
    "sub-02/anat/sub-02_part-phase_T2starw.nii.gz": ("sub-02/anat/sub-02_part-phase_T2starw.nii.gz", "sequence"),
    "sub-02/anat/sub-03_T1w.nii.gz": ("sub-02/anat/sub-03_T1w.nii.gz", "misplaced"),
    "sub-02/sub-02_T1w.nii.gz": ("sub-02/sub-02_T1w.nii.gz", "misplaced"),
    "sub-02/anat/sub-02_T2w.json": ("sub-02/anat/sub-02_T2w.json", "sidecar"),
    "sub-02/func/sub-02_bold.nii.gz": ("sub-02/func", "datatype"),
    "sub-02/anat/more/sub-02_T1w.nii.gz": ("sub-02/anat/more", "misplaced"),
}


@pytest.mark.parametrize("path", HOSTILE)
def test_what_cannot_be_used_is_said_and_stops_nothing(path, tmp_path):
    touch(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", path)
    found = survey(tmp_path, "bids")
    assert [s.path for s in found.scans] == ["sub-01/anat/sub-01_T1w.nii.gz"]
    assert [(u.path, u.code) for u in found.leftovers] == [HOSTILE[path]]
    assert all(u.reason and u.remedy and u.code in CODES for u in found.leftovers)


def test_links_out_of_the_tree_and_to_nowhere_are_said(tmp_path):
    root = touch(tmp_path / "set", "sub-01/anat/sub-01_T1w.nii.gz", ".annex/key")
    touch(tmp_path / "elsewhere", "secret.nii.gz", "sub-9/anat/sub-9_T1w.nii.gz")
    anat = root / "sub-01/anat"
    (anat / "sub-01_T2w.nii.gz").symlink_to(tmp_path / "elsewhere/secret.nii.gz")
    (anat / "sub-01_FLAIR.nii.gz").symlink_to(root / "nowhere")
    (anat / "sub-01_PDw.nii.gz").symlink_to("../../.annex/key")
    (root / "sub-9").symlink_to(tmp_path / "elsewhere/sub-9")
    found = survey(root, "bids")
    assert [(s.subject, s.sequence) for s in found.scans] == [
        ("01", "FLAIR"), ("01", "PD"), ("01", "T1w"), ("01", "T2w"), ("9", "T1w"),
    ], "what a link hides is listed, for the reader to refuse by name"  # fmt: skip
    assert {u.path: u.code for u in found.leftovers} == {
        "sub-01/anat/sub-01_T2w.nii.gz": "symlink", "sub-01/anat/sub-01_FLAIR.nii.gz": "dangling", "sub-9": "symlink",
    }  # fmt: skip


def test_an_unreadable_folder_is_said_and_the_rest_is_read(tmp_path, monkeypatch):
    touch(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz")
    scandir = os.scandir

    def refuse(folder):
        if "sub-02/anat" in str(folder):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    found = survey(tmp_path, "bids")
    assert [s.subject for s in found.scans] == ["01"]
    assert [(u.path, u.code) for u in found.leftovers] == [("sub-02/anat", "unreadable")]


def test_bidsignore_is_obeyed_and_counted(tmp_path):
    touch(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_T2w.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz")
    (tmp_path / ".bidsignore").write_text("*_T2w.nii.gz\nsub-02/\n")
    found = survey(tmp_path, "bids")
    assert [s.path for s in found.scans] == ["sub-01/anat/sub-01_T1w.nii.gz"]
    assert found.ignored == 2


def test_a_tree_of_which_nothing_can_be_used_says_the_first_reason(tmp_path):
    touch(tmp_path, "sub-01/anat/sub-01_bold.nii.gz")
    with pytest.raises(CairnError, match=r"no scan found \('sub-01/anat/sub-01_bold.nii.gz': 'bold' is no sequence"):
        list_scans(tmp_path, "bids")


@pytest.mark.parametrize(
    ("paths", "kind", "because"),
    [(["sub-1/anat/sub-1_T1w.nii.gz"], "bids", "anat"), (["sub_1/ses_1/t1.nii.gz"], "fomo60k", "sub_"),
     (["sub-1/ses-1/t1w.nii.gz"], "fomo300k", "straight"), (["PT1_A/sub-1/ses-1.zip"], "fomo300k", "PT"),
     (["a/preprocessed/sub_1/ses_1/t1.nii.gz", "a/labels/sub_1/label.txt"], "fomo_task", "preprocessed"),
     (["sub-1/anat/sub-1_T1w.nii.gz", "derivatives/preprocessed/sub-1/x.nii.gz"], "bids", "anat")],
)  # fmt: skip
def test_the_layout_of_a_folder_is_guessed_with_a_reason(paths, kind, because, tmp_path):
    touch(tmp_path, *paths)
    found, why = guess_kind(tmp_path)
    assert found == kind
    assert because in why


def test_a_folder_like_no_layout_is_told_what_layouts_there_are(tmp_path):
    touch(tmp_path, "patients/1/t1.nii.gz")
    with pytest.raises(CairnError, match=r"it holds patients.*fomo60k: sub_\*"):
        guess_kind(tmp_path)


def test_every_code_stands_in_the_documentation():
    page = (Path(__file__).resolve().parents[4] / "docs/reference/layouts.md").read_text()
    assert [code for code in CODES if f"| `{code}` |" not in page] == []
