"""Guards the plan-time fingerprints: content moves them, a touch does not, and only the touched shard is affected."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from cairn.datasets import listing
from cairn.datasets.index import index_shard
from cairn.datasets.listing import Listing
from cairn.io.nifti import write_scan
from cairn.io.sharding import shard_name

SHARDS = 4


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for subject in range(6):
        data = np.random.default_rng(subject).random((4, 4, 4)).astype(np.float32)
        write_scan(tmp_path / f"data/sub-{subject}/anat/sub-{subject}_T1w.nii.gz", data, np.eye(4))
    return tmp_path


def plan(tree: Path) -> dict[str, str]:
    listing = Listing(tree / "data", "bids", SHARDS, tree / "tokens", tree / "met", tree / "index")
    return {shard: listing.fingerprint(shard) for shard in listing.shards}


def index_all(tree: Path) -> None:
    for shard in range(SHARDS):
        index_shard(tree / "data", "bids", "mine", shard, SHARDS, tree / "index" / f"{shard_name(shard)}.tsv")


def moved(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {s for s in before | after if before.get(s) != after.get(s)}


def test_fingerprints_are_stable_across_plans_and_indexing(tree):
    first = plan(tree)
    index_all(tree)
    assert plan(tree) == first


def test_a_touch_moves_nothing(tree):
    first = plan(tree)
    index_all(tree)
    os.utime(tree / "data/sub-3/anat/sub-3_T1w.nii.gz", (1, 1))
    assert plan(tree) == first


def test_what_is_said_of_a_person_moves_their_shard_alone(tree):
    first = plan(tree)
    (tree / "data/participants.tsv").write_text("participant_id\tage\nsub-3\t40\n")
    assert len(moved(first, plan(tree))) == 1


def test_changed_content_moves_its_shard_alone(tree):
    first = plan(tree)
    index_all(tree)
    scan = tree / "data/sub-3/anat/sub-3_T1w.nii.gz"
    write_scan(scan, np.ones((4, 4, 4), np.float32) * np.arange(4, dtype=np.float32), np.eye(4))
    os.utime(scan, (2, 2))
    changed = moved(first, plan(tree))
    assert len(changed) == 1
    index_all(tree)
    assert moved(first, plan(tree)) == changed  # and stays moved, once


def test_added_and_removed_scans_move_their_shard_alone(tree):
    first = plan(tree)
    (tree / "data/sub-3/anat/sub-3_T1w.nii.gz").unlink()
    assert len(moved(first, plan(tree))) == 1
    write_scan(tree / "data/sub-9/anat/sub-9_T2w.nii.gz", np.eye(4)[..., None].repeat(4, -1), np.eye(4))
    assert len(moved(first, plan(tree))) <= 2


def copied(tree: Path, to: Path, *names: str) -> Path:
    """A clone: the same contents, every time new."""
    for name in names:
        (shutil.copytree if (tree / name).is_dir() else shutil.copy)(tree / name, to / name)
    for number, path in enumerate(sorted((to / "data").rglob("*.nii.gz"))):
        os.utime(path, (1000 + number, 1000 + number))
    return to


def test_a_clone_with_other_times_has_the_same_fingerprints(tree, tmp_path_factory):
    first = plan(tree)
    index_all(tree)
    clone = copied(tree, tmp_path_factory.mktemp("clone"), "data", "index", "tokens")
    assert plan(clone) == first


def test_an_edit_undone_is_no_edit(tree):
    scan = tree / "data/sub-3/anat/sub-3_T1w.nii.gz"
    first, data, was = plan(tree), scan.read_bytes(), scan.stat()
    index_all(tree)
    write_scan(scan, np.full((4, 4, 4), 7, np.int16), np.eye(4))
    os.utime(scan, (2, 2))
    assert len(moved(first, plan(tree))) == 1
    scan.write_bytes(data)
    os.utime(scan, (3, 3))
    assert plan(tree) == first
    os.utime(scan, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert plan(tree) == first


def test_a_scan_that_comes_back_in_a_clone_is_the_one_that_went(tree, tmp_path_factory):
    first = plan(tree)
    index_all(tree)
    clone = copied(tree, tmp_path_factory.mktemp("clone"), "data", "index", "tokens")
    scan = clone / "data/sub-3/anat/sub-3_T1w.nii.gz"
    data = scan.read_bytes()
    scan.unlink()
    assert len(moved(first, plan(clone))) == 1
    scan.write_bytes(data)
    assert plan(clone) == first


def test_a_second_look_reads_no_scan(tree, monkeypatch):
    plan(tree)
    index_all(tree)
    os.utime(tree / "data/sub-3/anat/sub-3_T1w.nii.gz", (1, 1))
    plan(tree)
    monkeypatch.setattr(listing, "content_hash", lambda path: pytest.fail(f"{path} was read"))
    plan(tree)
