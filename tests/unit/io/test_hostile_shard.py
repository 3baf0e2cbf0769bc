"""Guards the whole door: a tree of good and hostile files is listed, indexed and preprocessed; none stops another."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hostile_files import FILES, make_all

from cairn.config.preprocess import PreprocessConfig
from cairn.datasets.index import index_shard
from cairn.io.atomic import read_json
from cairn.io.shard import Shard
from cairn.io.tables import INDEX_COLUMNS, QUARANTINE_COLUMNS, read_table
from cairn.preprocess.resources import Resources
from cairn.preprocess.shard import ShardPaths, preprocess_shard

USED = {"good": [], "zeropixdim": ["pixdim"], "fewnan": ["not-finite"], "leftright": ["left-right"]}
CONFIG = PreprocessConfig.model_validate({
    "strip": {"method": "none"}, "normalise": {"method": "none"},
    "grid": {"spacing_mm": 6.0, "align": "none", "box_mm": [96, 96, 96]},
})  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Every file that is refused and four that are used, through index and preprocess; nothing reads the unreadable."""
    root = tmp_path_factory.mktemp("tree") / "root"
    paths = make_all(root)
    for name in [n for n, h in FILES.items() if h.fate != "refused" and n not in USED]:
        shutil.rmtree(root / f"sub_{name}")
    opened = os.open

    def guarded(path, *arguments, **keywords):
        if str(path) == str(paths["unreadable"]):  # its mode does not stop root, whom tests may run as
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, *arguments, **keywords)

    out = root.parent / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", guarded)
        index_shard(root, "fomo60k", "strange", 0, 1, out / "index.tsv")
        shard = ShardPaths.within(out)
        resources = Resources(Path("no-archives-here"))
        facts = preprocess_shard(out / "index.tsv", root, CONFIG, resources, shard, out / "state", "code")
    return out / "index.tsv", shard, facts


def test_every_file_is_listed_whether_it_can_be_read_or_not(made):
    rows = {row["subject"]: row for row in read_table(made[0], INDEX_COLUMNS)}
    refused = {name for name, hostile in FILES.items() if hostile.fate == "refused"}
    assert set(rows) == refused | set(USED)
    assert rows["newline"]["path"] == "sub_newline/ses_1/t1␊.nii"
    assert {rows[n]["sha256"] for n in ("fifo", "folder", "device", "dangling", "unreadable", "newline")} == {"n/a"}
    assert rows["good"]["shape"] == rows["blank"]["shape"] == "24x26x14"
    assert rows["huge"]["shape"] == "n/a"


def test_each_hostile_file_is_quarantined_by_its_code_and_the_good_ones_go_on(made):
    _, paths, facts = made
    rows = read_table(paths.quarantine, QUARANTINE_COLUMNS)
    wanted = {name: hostile.code for name, hostile in FILES.items() if hostile.fate == "refused"}
    assert {row["subject"]: row["code"] for row in rows} == wanted
    assert len(rows) == len(wanted) == facts["quarantined"]
    assert all(row["path"] in row["reason"] and row["remedy"].endswith(".") for row in rows)
    assert Shard(paths.shard).sessions == sorted(f"{name}/1" for name in USED)


def test_what_was_mended_stands_in_the_quality_numbers(made):
    numbers = read_json(made[1].qc)["sessions"]
    for name, codes in USED.items():
        assert [r["code"] for r in numbers[f"{name}/1"]["sequences"]["T1w"]["repairs"]] == codes


def test_a_mended_scan_preprocesses_to_what_the_good_one_does(made):
    shard = Shard(made[1].shard)
    good, mended = (shard.volume(f"{name}/1", "T1w") for name in ("good", "zeropixdim"))
    np.testing.assert_array_equal(good, mended)
