"""Guards the door against a corpus of hostile files: each ends in its named code, quickly and in little memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hostile_files import AFFINE, FILES, GOOD, GZ, head, make_all, nifti, packed

from cairn.config.guard import GuardConfig
from cairn.errors import CairnError
from cairn.io import guard
from cairn.io.codes import PREPROCESSING, REFUSED, REPAIRED
from cairn.io.members import content_hash
from cairn.io.nifti import open_header, read_mask, read_scan
from cairn.io.opening import Unpacked, refuse_outside, visible_name

HERE = Path(__file__).parent
MOST_SECONDS, MOST_MIB = 1.0, 200


@pytest.fixture(scope="module")
def fates(tmp_path_factory):
    """What becomes of every file, read in one process of its own."""
    root = tmp_path_factory.mktemp("hostile") / "root"
    root.mkdir()
    command = [sys.executable, str(HERE / "hostile_child.py"), str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", FILES)
def test_each_file_ends_in_its_code_quickly_and_in_little_memory(fates, name):
    found, wanted = fates[name], FILES[name]
    assert found["fate"] == wanted.fate, found
    assert found["codes"] == ([wanted.code] if wanted.code else []), found
    assert found["seconds"] < MOST_SECONDS
    assert found["mib"] < MOST_MIB
    if wanted.fate == "refused":
        assert name in found["reason"]
        assert found["remedy"] == REFUSED[wanted.code].remedy


def test_the_measure_of_memory_sees_what_is_taken(fates):
    assert fates["control"]["mib"] > 30


def test_the_corpus_has_every_code_of_the_door():
    made = {fate: {h.code for h in FILES.values() if h.fate == fate} for fate in ("refused", "repaired")}
    elsewhere = {"changed", "duplicate", *PREPROCESSING, "not-a-mask", "unknown-label"}
    by_limit = {"left-right", "no-orientation"}
    archives = {"archive", "member", "encrypted", "method", "bomb"}  # tests of members
    assert made["refused"] == set(REFUSED) - elsewhere - by_limit - archives
    assert made["repaired"] == set(REPAIRED)
    assert len(FILES) >= 100


def test_a_repaired_scan_is_the_scan_that_was_meant(tmp_path):
    paths = make_all(tmp_path / "a" / "b")
    good = read_scan(paths["good"])
    np.testing.assert_array_equal(good.data, head())
    np.testing.assert_allclose(good.affine, AFFINE, atol=1e-5)
    same_place = set(FILES) - {"leftright", "noforms", "unknownforms"}
    for name in [n for n, h in FILES.items() if h.fate in ("repaired", "passes")]:
        scan = read_scan(paths[name])
        if name == "fewnan":
            assert (scan.data != good.data).mean() < 0.01
        else:
            np.testing.assert_array_equal(scan.data, good.data, name)
        if name in same_place:
            np.testing.assert_allclose(scan.affine, good.affine, atol=1e-4, err_msg=name)
    assert read_scan(paths["leftright"]).header_flip
    np.testing.assert_allclose(np.diag(read_scan(paths["noforms"]).affine), [-3, 3.01, 5.016, 1], atol=1e-2)


@pytest.mark.parametrize(
    ("name", "limits", "code"),
    [
        ("leftright", {"left_right": "refuse"}, "left-right"),
        ("noforms", {"no_orientation": "refuse"}, "no-orientation"),
        ("good", {"min_slices": 15}, "too-thin"),
        ("good", {"max_voxels": 24 * 26 * 14 - 1}, "too-large"),
        ("good", {"max_data_mib": 0.01}, "too-large"),
        ("good", {"voxel_mm": (0.05, 4.9)}, "voxel-size"),
        ("good", {"extent_mm": (80, 1000)}, "extent"),
        ("good", {"max_intensity": 500}, "range"),
        ("fewnan", {"max_not_finite": 0.004}, "not-finite"),
        ("somebehind", {"max_trailing_kib": 0}, "trailing"),
        ("garbageaftergz", {"max_trailing_kib": 0}, "trailing"),
        ("extension", {"max_extension_mib": 0}, "offset"),
    ],
)
def test_limits_come_from_the_configuration(tmp_path, name, limits, code):
    path = FILES[name].make(tmp_path)
    read_scan(path)
    with pytest.raises(CairnError) as refused:
        read_scan(path, GuardConfig.model_validate(limits))
    assert refused.value.code == code


def test_a_limit_can_let_in_what_the_default_refuses(tmp_path):
    wide = GuardConfig(max_not_finite=1, extent_mm=(1, 1000), max_intensity=1e30, max_trailing_kib=10_000)
    for name in ("manynan", "centimetres", "slope1e20", "toomuchbehind"):
        folder = tmp_path / name
        folder.mkdir()
        assert read_scan(FILES[name].make(folder), wide).data.shape == head().shape


def test_limits_that_contradict_themselves_are_refused():
    with pytest.raises(ValueError, match="voxel_mm"):
        GuardConfig(voxel_mm=(3, 1))


def test_an_empty_mask_may_be_packed_as_far_as_gzip_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(guard, "SMALL_BYTES", 0)
    data = np.zeros((90, 90, 90), np.uint8)
    path = packed(nifti(data, np.diag([2.0, 2, 2, 1])))(tmp_path)
    assert not read_mask(path).any()
    with pytest.raises(CairnError) as refused:
        read_scan(path, GuardConfig(max_compression_ratio=100))
    assert refused.value.code == "compression"


def test_the_header_alone_reads_no_voxel(tmp_path):
    for content in (GOOD[:400], GZ[:400]):
        (tmp_path / "t1.nii").write_bytes(content)
        with pytest.raises(CairnError) as refused:
            read_scan(tmp_path / "t1.nii")
        assert refused.value.code == "truncated"
    assert open_header(tmp_path / "t1.nii")[1] == (24, 26, 14)  # a packed file's end is not known without unpacking


@pytest.mark.parametrize("seed", range(12))
def test_affine_and_voxels_are_those_of_nibabel_to_the_last_bit(tmp_path, seed):
    rng = np.random.default_rng(seed)
    affine = np.eye(4)
    affine[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0] @ np.diag(rng.uniform(3, 8, 3))
    affine[:3, 3] = rng.normal(0, 60, 3)
    kind = ("u1", "i2", "f4", "f8", "u2", "i4")[seed % 6]
    fields = {"sform_code": seed % 2, "scl_slope": (1, 0.37)[seed // 6], "scl_inter": (0, -5.5)[seed // 6]}
    (tmp_path / "a.nii").write_bytes(nifti((head() % 200).astype(kind), affine, two=seed % 3 == 0, **fields))
    wanted, scan = nib.load(tmp_path / "a.nii"), read_scan(tmp_path / "a.nii")
    np.testing.assert_array_equal(scan.affine, wanted.affine)
    np.testing.assert_array_equal(scan.data, np.asarray(wanted.dataobj).astype(np.float32))


def test_unpacking_gives_no_more_than_was_asked_for(tmp_path):
    path = FILES["streambomb"].make(tmp_path)
    with path.open("rb") as file:
        source = Unpacked(file)
        assert all(len(source.read(1000)) <= 1000 for _ in range(50))
        assert file.tell() <= 1 << 20


def test_what_cannot_be_hashed_has_no_hash(tmp_path):
    (tmp_path / "root").mkdir()
    for name in ("fifo", "folder", "dangling"):
        folder = tmp_path / name
        folder.mkdir()
        assert content_hash(FILES[name].make(folder)) is None
    assert len(content_hash(FILES["good"].make(tmp_path)) or "") == 64


def test_a_link_within_the_data_set_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    path = FILES["good"].make(tmp_path / "real")
    (tmp_path / "root").symlink_to("real")
    (tmp_path / "real" / "b.nii.gz").symlink_to(path.name)
    refuse_outside(tmp_path / "root" / "b.nii.gz", tmp_path / "root")
    with pytest.raises(CairnError, match="leads out of"):
        refuse_outside(tmp_path / "root" / "b.nii.gz", tmp_path / "root" / "deeper")


def test_names_are_shown_as_a_table_can_hold_them():
    assert visible_name("sub_1/t1\n\t.nii") == "sub_1/t1␊␉.nii"
    assert visible_name(os.fsdecode(b"t1\xff\xc3\xa9.nii")) == "t1�é.nii"
    assert visible_name("sub_é/t1 (2).nii") == "sub_é/t1 (2).nii"
