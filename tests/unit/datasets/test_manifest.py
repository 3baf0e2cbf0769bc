"""Guards a manifest as a data set: what is read of it, when its shards move, and what of it is refused."""

import hashlib
import random
from pathlib import Path

import numpy as np
import pytest

from cairn.datasets import manifest
from cairn.datasets.index import index_shard, write_manifest
from cairn.datasets.manifest import COLUMNS, ManifestListing, read_rows, rows_of_shard
from cairn.errors import CairnError
from cairn.io.nifti import write_scan
from cairn.io.sharding import shard_name, shard_of
from cairn.io.tables import INDEX_COLUMNS, read_table, write_table

SHARDS = 8


def rows(subjects: int, start: int = 0) -> list[dict]:
    return [
        {"subject": f"{n:05d}", "session": "1", "sequence": s, "path": f"sub-{n:05d}/{s}.nii.gz", "age": 20 + n}
        for n in range(start, start + subjects)
        for s in ("FLAIR", "T1w")
    ]


def write(path: Path, table: list[dict]) -> Path:
    write_table(path, table, INDEX_COLUMNS)
    return path


def plan(table: Path, met: Path, shards: int = SHARDS) -> dict[str, str]:
    listing = ManifestListing(table, shards, met)
    return {shard: listing.fingerprint(shard) for shard in listing.shards}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write(tmp_path / "scans.tsv", rows(60))


def test_new_scans_move_the_shards_they_fall_in_alone(table, tmp_path):
    first = plan(table, tmp_path / "met.json")
    more = rows(3, start=60)
    write(table, rows(60) + more)
    after = plan(table, tmp_path / "met.json")
    moved = {s for s in after if after[s] != first.get(s)}
    assert moved == {shard_name(shard_of(row["subject"], "1", SHARDS)) for row in more}
    assert len(moved) < SHARDS


def test_what_is_said_of_a_scan_moves_its_shard(table, tmp_path):
    first = plan(table, tmp_path / "met.json")
    write(table, [row | {"sex": "F"} if row["path"] == "sub-00007/T1w.nii.gz" else row for row in rows(60)])
    after = plan(table, tmp_path / "met.json")
    assert [s for s in after if after[s] != first[s]] == [shard_name(shard_of("00007", "1", SHARDS))]


def test_the_order_of_rows_means_nothing(table, tmp_path):
    first = plan(table, tmp_path / "met.json")
    shuffled = rows(60)
    random.Random(1).shuffle(shuffled)
    assert plan(write(table, shuffled), tmp_path / "met.json") == first
    assert plan(table, tmp_path / "another machine.json") == first


def test_a_row_twice_is_another_plan(table, tmp_path):
    first = plan(table, tmp_path / "met.json")
    assert plan(write(table, rows(60) + rows(1)), tmp_path / "met.json") != first


def test_an_unchanged_manifest_is_not_read_again(table, tmp_path, monkeypatch):
    first = plan(table, tmp_path / "met.json")
    monkeypatch.setattr(manifest, "read_rows", lambda path: pytest.fail(f"{path} was read"))
    assert plan(table, tmp_path / "met.json") == first
    table.touch()
    assert plan(table, tmp_path / "met.json") == first
    with pytest.raises(pytest.fail.Exception):
        plan(table, tmp_path / "met.json", SHARDS + 1)


def test_a_shard_has_its_rows_and_no_other(table):
    every = [row["path"] for shard in range(SHARDS) for row in rows_of_shard(table, shard, SHARDS)]
    assert sorted(every) == sorted(row["path"] for row in rows(60))
    assert all(shard_of(row["subject"], row["session"], SHARDS) == 3 for row in rows_of_shard(table, 3, SHARDS))


def test_the_manifest_that_the_workflow_writes_is_one_that_it_reads(table, tmp_path):
    write_manifest([table], tmp_path / "manifest.parquet")
    found = {row[:4]: row[4:] for row in read_rows(tmp_path / "manifest.parquet")}
    assert set(found) == {row[:4] for row in read_rows(table)}
    assert found["00007", "1", "T1w", "sub-00007/T1w.nii.gz"] == ("n/a", "27", "n/a", "n/a", "n/a")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"path": "../other/T1w.nii.gz"}, "name"), ({"path": "/data/T1w.nii.gz"}, "name"), ({"path": ""}, "name"),
        ({"subject": "0 1"}, "name"), ({"session": "a/b"}, "name"), ({"sequence": "T1w/2"}, "name"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_used_is_named(tmp_path, change, code):
    table = write(tmp_path / "scans.tsv", [*rows(1), rows(1)[0] | change])
    with pytest.raises(CairnError, match="row 3") as caught:
        plan(table, tmp_path / "met.json")
    assert caught.value.code == code


def test_a_table_that_is_none_is_named(tmp_path):
    (tmp_path / "scans.parquet").write_text("no table")
    (tmp_path / "long.tsv").write_text("\t".join(COLUMNS) + "\n" + "x" * 131_073 + "\n")
    write_table(tmp_path / "scans.tsv", [], ["subject", "session"])
    for name, code in (
        ("scans.parquet", "table"),
        ("scans.tsv", "table"),
        ("long.tsv", "table"),
        ("absent.tsv", "missing"),
    ):
        with pytest.raises(CairnError) as caught:
            plan(tmp_path / name, tmp_path / "met.json")
        assert caught.value.code == code


def test_an_index_has_what_the_manifest_says_and_what_the_file_is(tmp_path):
    for name in ("a", "b"):
        write_scan(tmp_path / f"{name}.nii.gz", np.arange(64, dtype=np.float32).reshape(4, 4, 4), np.eye(4))
    true = hashlib.sha256((tmp_path / "a.nii.gz").read_bytes()).hexdigest()
    wanted = {"a": None, "b": "0" * 64, "gone": None}
    table = write(tmp_path / "scans.tsv", [
        {"subject": n, "session": "1", "sequence": "T1w", "path": f"{n}.nii.gz", "sha256": h, "sex": "F"}
        for n, h in wanted.items()
    ])  # fmt: skip
    known = index_shard(tmp_path, "manifest", "mine", 0, 1, tmp_path / "index.tsv", table)
    found = {row["subject"]: row for row in read_table(tmp_path / "index.tsv", INDEX_COLUMNS)}
    assert known[(tmp_path / "a.nii.gz").as_posix()] == true == found["a"]["sha256"]
    assert found["b"]["sha256"] == "0" * 64  # preprocessing finds that the file is another, and says so
    assert (found["a"]["shape"], found["gone"]["shape"], found["gone"]["sha256"]) == ("4x4x4", "n/a", "n/a")
    assert {row["sex"] for row in found.values()} == {"F"}
    assert len(known) == 2
