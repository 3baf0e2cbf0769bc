"""Guards a shard's job against trouble within a session: a bad reference gives way, a bug costs one scan."""

import shutil

import pytest
from phantom_head import RESOURCES, pose, write_head

from cairn.config.preprocess import PreprocessConfig
from cairn.io.atomic import read_json
from cairn.io.shard import Shard
from cairn.io.tables import INDEX_COLUMNS, QUARANTINE_COLUMNS, read_table, write_table
from cairn.preprocess import session
from cairn.preprocess.shard import ShardPaths, preprocess_shard

CONFIG = PreprocessConfig.model_validate({
    "strip": {"method": "given", "given_pattern": "{sequence}_mask.nii.gz"}, "grid": {"spacing_mm": 4.0},
})  # fmt: skip


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """One head in two sequences; a second T1w that is cut off."""
    root = tmp_path_factory.mktemp("raw")
    write_head(root, "T1w")
    write_head(root, "FLAIR", pose((1, 2, -1), (1, -1, 2)), seed=1)
    (root / "cut.nii.gz").write_bytes((root / "T1w.nii.gz").read_bytes()[:9000])
    shutil.copy(root / "FLAIR.nii.gz", root / "again.nii.gz")
    return root


def run(raw, out, scans):
    rows = [
        {"dataset": "made", "subject": subject, "session": "1", "sequence": sequence, "path": path}
        for subject, sequence, path in scans
    ]
    write_table(out / "index.tsv", rows, INDEX_COLUMNS)
    paths = ShardPaths(
        *(out / n for n in ("a.safetensors", "a.index.tsv", "a.quarantine.tsv", "a.qc.json", "a.qc", "a.hashes.tsv"))
    )
    preprocess_shard(out / "index.tsv", raw, CONFIG, RESOURCES, paths, out / "state", "code")
    return paths, read_table(paths.quarantine, QUARANTINE_COLUMNS)


def test_a_session_whose_reference_is_bad_goes_on_with_its_next_sequence(raw, tmp_path):
    paths, quarantine = run(raw, tmp_path, [("a", "T1w", "cut.nii.gz"), ("a", "FLAIR", "FLAIR.nii.gz")])
    assert [(r["sequence"], r["code"], r["path"]) for r in quarantine] == [("T1w", "truncated", "cut.nii.gz")]
    assert Shard(paths.shard).sequences("a/1") == ["FLAIR"]
    assert read_json(paths.qc)["sessions"]["a/1"]["reference"] == "FLAIR"


def test_an_unexpected_error_is_quarantined_as_internal_and_spares_the_rest(raw, tmp_path, monkeypatch):
    real = session.read_native

    def broken(path, limits):
        if path.name == "again.nii.gz":
            raise ZeroDivisionError("by hand")
        return real(path, limits)

    monkeypatch.setattr(session, "read_native", broken)
    scans = [("a", "T1w", "T1w.nii.gz"), ("a", "FLAIR", "again.nii.gz"), ("b", "FLAIR", "again.nii.gz")]
    scans += [("c", "FLAIR", "FLAIR.nii.gz"), ("d", "T1w", "T1w.nii.gz")]
    paths, quarantine = run(raw, tmp_path, scans)
    assert [(r["subject"], r["sequence"], r["code"]) for r in quarantine] == [
        ("a", "FLAIR", "internal"), ("b", "FLAIR", "internal"),
    ]  # fmt: skip
    for row in quarantine:
        assert str(raw / "again.nii.gz") in row["reason"]
        assert "ZeroDivisionError at test_shard_recovery.py:" in row["reason"]
        assert row["remedy"]
    shard = Shard(paths.shard)
    assert {key: shard.sequences(key) for key in shard.sessions} == {"a/1": ["T1w"], "c/1": ["FLAIR"], "d/1": ["T1w"]}
