"""Guards a shard's job: every class of bad scan becomes a named row and the rest goes on; equal input, equal bytes."""

import gzip
import shutil

import nibabel as nib
import numpy as np
import pytest
from phantom_head import RESOURCES, pose, write_head

from cairn.config.preprocess import PreprocessConfig
from cairn.io.atomic import read_json, sha256
from cairn.io.nifti import write_scan
from cairn.io.shard import Shard
from cairn.io.tables import INDEX_COLUMNS, QUARANTINE_COLUMNS, SHARD_COLUMNS, read_table, write_table
from cairn.preprocess.shard import ShardPaths, preprocess_shard

CONFIG = PreprocessConfig.model_validate({
    "strip": {"method": "given", "given_pattern": "masks/{sequence}_mask.nii.gz"},
    "grid": {"spacing_mm": 4.0},
})  # fmt: skip


def _raw_header(path, **fields):
    """Change header fields of a NIfTI file byte by byte, past every check of the library that writes it."""
    data = bytearray(gzip.decompress(path.read_bytes()))
    header = nib.Nifti1Header(bytes(data[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    data[:348] = header.binaryblock
    path.write_bytes(gzip.compress(bytes(data)))


def _four_d(path):
    image = nib.load(path)
    data = np.asarray(image.dataobj)
    nib.save(nib.Nifti1Image(np.stack([data, data], -1), image.affine), path)


def _rewritten(change):
    def apply(path):
        image = nib.load(path)
        write_scan(path, change(np.asarray(image.dataobj).astype(np.float32)), image.affine)

    return apply


def _with_nan(data):
    data[:, :, ::3] = np.nan
    return data


BAD = {
    "missing": ("missing", lambda p: p.unlink()),
    "empty": ("truncated", lambda p: p.write_bytes(b"")),
    "truncated": ("truncated", lambda p: p.write_bytes(p.read_bytes()[:9000])),
    "text": ("not-nifti", lambda p: p.write_text("no scan")),
    "fourd": ("not-3d", _four_d),
    "nan": ("not-finite", _rewritten(_with_nan)),
    "blank": ("blank", _rewritten(lambda d: d * 0)),
    "zeropixdim": ("voxel-size", lambda p: _raw_header(p, pixdim=[1, 0, 2, 2, 0, 0, 0, 0], sform_code=0)),
    "hugevoxel": ("voxel-size", lambda p: _raw_header(p, srow_x=[900, 0, 0, 0])),
    "degenerate": ("affine", lambda p: _raw_header(p, srow_x=[2, 2, 0, 0], srow_y=[0.1, 0, 0, 0])),
    "infslope": ("scaling", lambda p: _raw_header(p, scl_slope=np.inf)),
    "bomb": ("too-large", lambda p: _raw_header(p, dim=[3, 30000, 30000, 30000, 1, 1, 1, 1])),
}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """A data set of one good session of two sequences, one session a bad class, and two copies."""
    root = tmp_path_factory.mktemp("raw")
    (root / "masks").mkdir()
    write_head(root, "T1w")
    write_head(root, "FLAIR", pose((1, 2, -1), (1, -1, 2)), seed=1)
    for name in ("T1w", "FLAIR"):
        shutil.move(root / f"{name}_mask.nii.gz", root / "masks")
    rows = []

    def add(subject, sequence, path, digest=None):
        rows.append({
            "dataset": "made", "subject": subject, "session": "1", "sequence": sequence, "path": path,
            "sha256": digest or (sha256(root / path) if (root / path).is_file() else None),
        })  # fmt: skip

    add("good", "T1w", "T1w.nii.gz")
    add("good", "FLAIR", "FLAIR.nii.gz")
    for name, (_, spoil) in BAD.items():
        path = root / f"{name}.nii.gz"
        shutil.copy(root / "FLAIR.nii.gz", path)
        spoil(path)
        add(name, "FLAIR", path.name)
    shutil.copy(root / "FLAIR.nii.gz", root / "copy.nii.gz")
    add("copy", "FLAIR", "copy.nii.gz")
    add("good", "T1w", "second.nii.gz", "0" * 64)
    shutil.copy(root / "T1w.nii.gz", root / "edited.nii.gz")
    add("edited", "T1w", "edited.nii.gz", "1" * 64)
    write_table(root / "index.tsv", rows, INDEX_COLUMNS)
    return root


def run(raw, out, config=CONFIG):
    names = ("a.safetensors", "a.index.tsv", "a.quarantine.tsv", "a.qc.json", "a.qc", "a.hashes.tsv")
    paths = ShardPaths(*(out / n for n in names))
    return paths, preprocess_shard(raw / "index.tsv", raw, config, RESOURCES, paths, out / "state", "code")


@pytest.fixture(scope="module")
def made(raw, tmp_path_factory):
    return run(raw, tmp_path_factory.mktemp("out"))


@pytest.mark.parametrize("name", [*BAD, "copy", "edited"])
def test_every_bad_scan_has_a_row_with_file_code_reason_and_remedy(made, raw, name):
    paths, _ = made
    rows = [r for r in read_table(paths.quarantine, QUARANTINE_COLUMNS) if r["subject"] == name]
    codes = {**{n: c for n, (c, _) in BAD.items()}, "copy": "duplicate", "edited": "changed"}
    assert [r["code"] for r in rows] == [codes[name]]
    assert str(raw / f"{name}.nii.gz") in rows[0]["reason"]
    assert len(rows[0]["reason"]) > len(str(raw / f"{name}.nii.gz")) + 10
    assert rows[0]["remedy"].endswith(".")


def test_a_scan_named_twice_keeps_the_first(made, raw):
    rows = read_table(made[0].quarantine, QUARANTINE_COLUMNS)
    (twin,) = [r for r in rows if r["path"] == "second.nii.gz"]
    assert twin["code"] == "duplicate"
    assert "T1w.nii.gz" in twin["reason"]


def test_the_good_session_goes_on(made, raw):
    paths, facts = made
    shard = Shard(paths.shard)
    assert shard.sessions == ["good/1"]
    assert shard.sequences("good/1") == ["FLAIR", "T1w"]
    assert shard.mask("good/1").any()
    (row,) = read_table(paths.shard_index, SHARD_COLUMNS)
    assert row["shard_sha256"] == sha256(paths.shard)
    assert facts["sessions"] == 1
    assert facts["quarantined"] == len(BAD) + 3
    numbers = read_json(paths.qc)["sessions"]["good/1"]
    assert numbers["reference"] == "T1w"
    assert (paths.figures / numbers["figure"]).is_file()
    native = nib.load(paths.figures / numbers["native_mask"])
    assert native.shape == nib.load(raw / "T1w.nii.gz").shape


def test_same_bytes_twice(made, raw, tmp_path):
    again, _ = run(raw, tmp_path)
    for one, two in zip(
        (made[0].shard, made[0].shard_index, made[0].qc), (again.shard, again.shard_index, again.qc), strict=True
    ):
        assert one.read_bytes() == two.read_bytes()
    for file in sorted(made[0].figures.iterdir()):
        assert (again.figures / file.name).read_bytes() == file.read_bytes()


def test_figures_show_nothing_outside_the_brain(made):
    """The scalp is the brightest tissue of the phantom: where it lies, a figure must be black."""
    from PIL import Image

    paths, _ = made
    picture = np.asarray(Image.open(paths.figures / "sub-good_ses-1.jpg").convert("RGB")).astype(int)
    grey = (np.ptp(picture, axis=-1) < 40) & (picture.max(-1) > 60)  # neither black nor the amber outline
    mask = Shard(paths.shard).mask("good/1")
    zoom = max(1, round(112 / max(mask.shape)))
    assert grey.mean() < 1.15 * mask.max(axis=2).sum() * 10 * zoom**2 / grey.size


def test_an_empty_shard_is_valid(raw, tmp_path):
    write_table(tmp_path / "index.tsv", [], INDEX_COLUMNS)
    names = ("a.safetensors", "a.index.tsv", "a.quarantine.tsv", "a.qc.json", "a.qc", "a.hashes.tsv")
    paths = ShardPaths(*(tmp_path / n for n in names))
    facts = preprocess_shard(tmp_path / "index.tsv", raw, CONFIG, RESOURCES, paths, tmp_path / "state", "code")
    assert facts["sessions"] == 0
    assert Shard(paths.shard).sessions == []
