"""Guards the index: every scan is listed with its hash and header, an unreadable one too, and people are named once."""

import numpy as np
import pandas as pd
import pytest

from cairn.datasets.index import index_shard, write_manifest
from cairn.datasets.people import participants
from cairn.errors import CairnError
from cairn.io.atomic import sha256
from cairn.io.nifti import write_scan
from cairn.io.tables import read_table


@pytest.fixture
def tree(tmp_path):
    affine = np.diag([-1.0, 1.5, 2.0, 1.0])
    scan = tmp_path / "sub-01/anat/sub-01_T1w.nii.gz"
    write_scan(scan, np.random.default_rng(0).random((5, 6, 7)).astype(np.float32), affine)
    (tmp_path / "sub-02/anat").mkdir(parents=True)
    (tmp_path / "sub-02/anat/sub-02_T1w.nii.gz").write_bytes(b"not an image")
    (tmp_path / "participants.tsv").write_text("participant_id\tage\tsex\nsub-01\t41.5\tF\n")
    return tmp_path


def test_index_holds_hash_header_and_person(tree, tmp_path):
    out = tmp_path / "index.tsv"
    assert len(index_shard(tree, "bids", "mine", 0, 1, out)) == 2
    good, bad = read_table(out)
    assert good["sha256"] == sha256(tree / "sub-01/anat/sub-01_T1w.nii.gz")
    assert (good["shape"], good["zooms"], good["orientation"]) == ("5x6x7", "1x1.5x2", "LAS")
    assert (good["age"], good["sex"], good["site"]) == ("41.5", "F", "n/a")
    assert (bad["shape"], bad["orientation"]) == ("n/a", "n/a")


def test_manifest_gathers_shards(tree, tmp_path):
    for shard in range(2):
        index_shard(tree, "bids", "mine", shard, 2, tmp_path / f"index/{shard:04d}.tsv")
    write_manifest((tmp_path / "index").glob("*.tsv"), tmp_path / "manifest.parquet")
    frame = pd.read_parquet(tmp_path / "manifest.parquet")
    assert list(frame["subject"]) == ["01", "02"]
    assert frame["age"].tolist()[0] == 41.5


def test_person_with_two_rows_is_refused(tree):
    (tree / "participants.tsv").write_text("participant_id\tage\nsub-01\t41\nsub-01\t42\n")
    with pytest.raises(CairnError, match="'01' has two rows"):
        participants(tree)


def test_people_with_a_field_that_is_too_long_are_refused_by_file(tree):
    (tree / "participants.tsv").write_text(f"participant_id\tage\nsub-01\t{'4' * 131_073}\n")
    with pytest.raises(CairnError, match=r"participants\.tsv: line 2") as caught:
        participants(tree)
    assert caught.value.code == "table"
