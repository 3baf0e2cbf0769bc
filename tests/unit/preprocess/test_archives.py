"""Guards that a scan inside an archive is a file like any other to a shard: stamped, hashed, read only unchanged."""

import os
import zipfile

import numpy as np

from cairn.io.members import member_sha256
from cairn.io.nifti import write_scan
from cairn.preprocess.kept import stamp
from cairn.preprocess.shard import _unchanged


def pack(folder, seed):
    data = np.random.default_rng(seed).integers(1, 99, (4, 5, 6)).astype(np.int16)
    write_scan(folder / "t1w.nii.gz", data, np.eye(4))
    with zipfile.ZipFile(folder / "ses-1.zip", "w") as out:
        out.write(folder / "t1w.nii.gz", "ses-1/t1w.nii.gz")
    return folder / "ses-1.zip!/ses-1/t1w.nii.gz"


def test_a_changed_archive_is_seen_by_stamp_and_by_content(tmp_path):
    path = pack(tmp_path, 1)
    archive = tmp_path / "ses-1.zip"
    assert stamp(path) == [archive.stat().st_size, archive.stat().st_mtime_ns]
    row = {
        "dataset": "d", "subject": "1", "session": "1", "sequence": "T1w", "sha256": member_sha256(path),
        "path": "ses-1.zip!/ses-1/t1w.nii.gz",
    }  # fmt: skip
    assert _unchanged([row], tmp_path, False) == ([row], [])
    os.utime(archive, (5, 5))
    assert _unchanged([row], tmp_path, False) == ([row], []), "a touch is no change"
    pack(tmp_path, 2)
    good, quarantine = _unchanged([row], tmp_path, False)
    assert good == []
    assert quarantine[0]["code"] == "changed"
    archive.unlink()
    assert _unchanged([row], tmp_path, False)[0] == [row], "what is gone is left for the reader to name"
