"""Guards that a data set with too many bad scans is refused in one clear sentence, and any other is counted."""

import pytest

from cairn.errors import CairnError
from cairn.io.tables import INDEX_COLUMNS, QUARANTINE_COLUMNS, write_table
from cairn.preprocess.accept import accept_dataset


def shards(folder, *counts):
    """Indexes and quarantine tables of shards with so many scans, and so many bad ones."""
    indexes, tables = [], []
    for number, (scans, bad) in enumerate(counts):
        rows = [{"dataset": "mine", "subject": f"{n}", "path": f"{n}.nii.gz"} for n in range(scans)]
        indexes.append(folder / f"raw/{number:04d}.tsv")
        tables.append(folder / f"{number:04d}.quarantine.tsv")
        write_table(indexes[-1], rows, INDEX_COLUMNS)
        write_table(tables[-1], [r | {"reason": f"{r['path']}: bad."} for r in rows[:bad]], QUARANTINE_COLUMNS)
    return indexes, tables


def test_a_share_at_the_limit_is_accepted_and_counted(tmp_path):
    assert accept_dataset(*shards(tmp_path, (4, 2), (3, 0), (0, 0)), 0.5) == {
        "max_bad_share": 0.5,
        "shards": {
            "0000": {"scans": 4, "quarantined": 2},
            "0001": {"scans": 3, "quarantined": 0},
            "0002": {"scans": 0, "quarantined": 0},
        },
    }


def test_a_larger_share_is_refused_with_table_counts_reasons_and_remedy(tmp_path):
    with pytest.raises(CairnError) as refused:
        accept_dataset(*shards(tmp_path, (4, 1), (40, 30), (2, 2)), 0.5)
    error = refused.value
    assert error.code == "shard-bad"
    assert error.reason.startswith(f"{tmp_path}/0001.quarantine.tsv: 30 of 40 scans are unusable, more than 50%;")
    assert "the first 20: 0.nii.gz: bad.; 1.nii.gz: bad." in error.reason
    assert "20.nii.gz" not in error.reason
    assert "1 more of its 3 shards" in error.reason
    assert "preprocess.max_bad_share" in error.remedy


def test_no_bad_scan_at_all_may_be_asked_for(tmp_path):
    accept_dataset(*shards(tmp_path, (4, 0)), 0.0)
    with pytest.raises(CairnError, match="1 of 4 scans"):
        accept_dataset(*shards(tmp_path, (4, 1)), 0.0)
