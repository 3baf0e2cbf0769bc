"""Guards the door for labels: what no task can use is refused with file, subject and remedy."""

import numpy as np
import pytest

from cairn.datasets.labels import fomo_labels, gather_labels
from cairn.errors import CairnError
from cairn.io.nifti import write_scan
from cairn.io.tables import LABEL_COLUMNS, read_table, write_table


def table(path, *rows):
    write_table(path, [dict(zip(LABEL_COLUMNS, row, strict=True)) for row in rows], LABEL_COLUMNS)
    return path


def test_gathered_in_order_with_masks_that_resolve(tmp_path):
    write_scan(tmp_path / "in/masks/a.nii.gz", np.ones((3, 3, 3), np.uint8), np.eye(4))
    source = table(
        tmp_path / "in/labels.tsv", ("b", "1", "", "masks/a.nii.gz", "FLAIR"), ("a", "1", "", "masks/a.nii.gz", "FLAIR")
    )
    out = tmp_path / "out/deep/labels.tsv"
    gather_labels([source], "segmentation", out)
    rows = read_table(out)
    assert [r["subject"] for r in rows] == ["a", "b"]
    assert (out.parent / rows[0]["mask"]).samefile(tmp_path / "in/masks/a.nii.gz")


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [("classification", "2", "neither 0 nor 1"), ("classification", "n/a", "neither 0 nor 1"),
     ("regression", "-3", "no age in years"), ("regression", "nan", "no age"), ("regression", "old", "no age"),
     ("segmentation", "", "has no mask")],
)  # fmt: skip
def test_wrong_label_is_refused_by_subject(tmp_path, kind, value, message):
    source = table(tmp_path / "labels.tsv", ("s7", "1", value, "", ""))
    with pytest.raises(CairnError, match=f"subject s7.*{message}"):
        gather_labels([source], kind, tmp_path / "out.tsv")
    assert not (tmp_path / "out.tsv").exists()


def test_session_labelled_twice_is_refused(tmp_path):
    source = table(tmp_path / "labels.tsv", ("s7", "1", "1", "", ""), ("s7", "1", "0", "", ""))
    with pytest.raises(CairnError, match="labelled twice"):
        gather_labels([source], "classification", tmp_path / "out.tsv")


@pytest.mark.parametrize("where", ["sub_1/ses_1/label.txt", "sub_1/label.txt", "sub_1/ses_1/labels.txt"])
def test_both_spellings_of_fomo_labels(tmp_path, where):
    (tmp_path / "labels" / where).parent.mkdir(parents=True)
    (tmp_path / "labels" / where).write_text("63\n")
    fomo_labels(tmp_path / "labels", "regression", "FLAIR", tmp_path / "out.tsv")
    assert read_table(tmp_path / "out.tsv")[0] == {
        "subject": "1", "session": "1", "value": "63", "mask": "n/a", "mask_sequence": "n/a",
        "mask_sha256": "n/a",
    }  # fmt: skip


def test_fomo_subject_without_label_is_named(tmp_path):
    (tmp_path / "labels/sub_1/ses_1").mkdir(parents=True)
    with pytest.raises(CairnError, match="sub_1/ses_1: no label for a segmentation task"):
        fomo_labels(tmp_path / "labels", "segmentation", "FLAIR", tmp_path / "out.tsv")
