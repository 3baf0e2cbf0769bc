"""Guards the door for strangers' scans: every class of bad file is refused by name, code and remedy, or mended."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from cairn.errors import CairnError
from cairn.io.nifti import read_mask, read_scan, write_scan

AFFINE = np.array([[-1.9, 0.2, 0, 40], [0.2, 1.9, 0.3, -50], [0, -0.2, 4.0, -20], [0, 0, 0, 1]])


def volume(seed=0, shape=(12, 13, 14)):
    return np.random.default_rng(seed).integers(1, 999, shape).astype(np.int16)


def plain(path, data=None, affine=AFFINE):
    """An uncompressed NIfTI file whose header says where it lies twice, by qform and sform."""
    image = nib.Nifti1Image(volume() if data is None else data, affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    path.write_bytes(image.to_bytes())
    return path


def with_header(path, **fields):
    """Set header fields byte by byte, past every check of the library that would write them."""
    plain(path)
    content = bytearray(path.read_bytes())
    header = nib.Nifti1Header(bytes(content[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    content[:348] = header.binaryblock
    path.write_bytes(bytes(content))
    return path


def with_nan(share):
    data = volume().astype(np.float32)
    data.ravel()[: round(share * data.size)] = np.nan
    return data


def cut(path, keep, packed):
    content = plain(path).read_bytes()
    content = gzip.compress(content) if packed else content
    path.write_bytes(content[: round(keep * len(content))])


FLAT = {"qform_code": 0, "srow_x": [2, 2, 0, 0], "srow_y": [0, 1e-4, 0, 0], "srow_z": [0, 0, 2, 0]}
BAD = {
    "empty": ("truncated", lambda p: p.write_bytes(b"")),
    "gz-cut-in-data": ("truncated", lambda p: cut(p, 0.7, True)),
    "plain-cut-in-data": ("truncated", lambda p: cut(p.with_suffix(""), 0.7, False)),
    "gz-cut-in-header": ("truncated", lambda p: p.write_bytes(gzip.compress(plain(p).read_bytes()[:200]))),
    "gz-corrupt": ("truncated", lambda p: p.write_bytes(gzip.compress(plain(p).read_bytes())[:-1500] + b"\x55" * 1500)),
    "gz-checksum": ("corrupt", lambda p: p.write_bytes(gzip.compress(plain(p).read_bytes())[:-8] + b"\x55" * 8)),
    "text-named-gz": ("not-nifti", lambda p: p.write_text("no scan")),
    "text-in-gz": ("not-nifti", lambda p: p.write_bytes(gzip.compress(b"no scan" * 100))),
    "dicom": ("not-nifti", lambda p: p.with_suffix("").write_bytes(b"\0" * 128 + b"DICM" + b"\2\0" * 400)),
    "4d": ("not-3d", lambda p: plain(p.with_suffix(""), np.stack([volume(0), volume(1)], -1))),
    "2d": ("not-3d", lambda p: plain(p.with_suffix(""), volume()[:, :, 0])),
    "one-slice": ("too-thin", lambda p: plain(p.with_suffix(""), volume()[:, :, :1])),
    "nan-voxels": ("not-finite", lambda p: plain(p.with_suffix(""), with_nan(0.02))),
    "infinite-voxels": ("not-finite", lambda p: plain(p.with_suffix(""), np.full((15, 15, 15), np.inf, np.float32))),
    "blank": ("blank", lambda p: plain(p.with_suffix(""), np.full((15, 15, 15), 7, np.int16))),
    "zero-pixdim-alone": (
        "voxel-size",
        lambda p: with_header(p.with_suffix(""), pixdim=[1, 2, 2, 0, 0, 0, 0, 0], sform_code=0, qform_code=0),
    ),
    "metre-voxels": ("voxel-size", lambda p: with_header(p.with_suffix(""), srow_x=[900, 0, 0, 0])),
    "zero-column": ("voxel-size", lambda p: with_header(p.with_suffix(""), srow_x=[0] * 4, srow_y=[0, 2, 0, 0])),
    "degenerate-affine": ("affine", lambda p: with_header(p.with_suffix(""), **FLAT)),
    "nan-affine": ("affine", lambda p: with_header(p.with_suffix(""), srow_y=[np.nan] * 4)),
    "infinite-origin": ("affine", lambda p: with_header(p.with_suffix(""), srow_z=[0, 0, 2, np.inf])),
    "infinite-slope": ("scaling", lambda p: with_header(p.with_suffix(""), scl_slope=np.inf, scl_inter=0)),
    "infinite-intercept": ("scaling", lambda p: with_header(p.with_suffix(""), scl_slope=2, scl_inter=np.inf)),
    "huge": ("too-large", lambda p: with_header(p.with_suffix(""), dim=[3, 30000, 30000, 30000, 1, 1, 1, 1])),
    "huge-by-a-little": ("too-large", lambda p: with_header(p.with_suffix(""), dim=[3, 1024, 1024, 513, 1, 1, 1, 1])),
    "data-past-the-end": ("offset", lambda p: with_header(p.with_suffix(""), vox_offset=1e30)),
    "complex": ("datatype", lambda p: plain(p.with_suffix(""), volume().astype(np.complex64))),
    "colour": (
        "datatype",
        lambda p: plain(p.with_suffix(""), np.zeros((9, 9, 9), [("R", "u1"), ("G", "u1"), ("B", "u1")])),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_scan_is_refused_with_code_file_reason_and_remedy(tmp_path, name):
    code, spoil = BAD[name]
    spoil(tmp_path / "scan.nii.gz")
    gz = tmp_path / "scan.nii.gz"
    path = gz if gz.exists() else tmp_path / "scan.nii"
    with pytest.raises(CairnError) as refused:
        read_scan(path)
    assert refused.value.code == code
    assert refused.value.reason.startswith(f"{path}: ")
    assert len(refused.value.reason) > len(f"{path}: ") + 10
    assert refused.value.remedy.endswith(".")


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path):
    for path, code in ((tmp_path / "absent.nii.gz", "missing"), (tmp_path, "not-a-file")):
        with pytest.raises(CairnError, match=r"no (such|regular) file") as refused:
            read_scan(path)
        assert refused.value.code == code
        assert str(path) in refused.value.reason


def test_less_than_one_percent_of_nan_is_set_to_zero(tmp_path):
    data = with_nan(0.009)
    scan = read_scan(plain(tmp_path / "a.nii", data))
    assert np.isnan(data).sum() == 20
    np.testing.assert_array_equal(scan.data, np.nan_to_num(data))


@pytest.mark.parametrize("slope", [0.0, np.nan])
def test_a_slope_of_zero_or_nan_means_no_scaling(tmp_path, slope):
    scan = read_scan(with_header(tmp_path / "a.nii", scl_slope=slope, scl_inter=np.nan))
    np.testing.assert_array_equal(scan.data, volume())


def test_a_true_slope_scales(tmp_path):
    scan = read_scan(with_header(tmp_path / "a.nii", scl_slope=0.5, scl_inter=-3))
    np.testing.assert_allclose(scan.data, volume() * 0.5 - 3)


def test_a_fourth_axis_of_one_is_a_volume(tmp_path):
    assert read_scan(plain(tmp_path / "a.nii", volume()[..., None])).data.shape == (12, 13, 14)


def test_a_qform_without_rotation_does_not_matter_beside_a_good_sform(tmp_path):
    scan = read_scan(with_header(tmp_path / "a.nii", quatern_b=9.0))
    np.testing.assert_allclose(scan.affine, AFFINE, atol=1e-5)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32])
def test_what_is_written_is_read(tmp_path, name, kind):
    data = (volume() % 200).astype(kind)
    write_scan(tmp_path / name, data, AFFINE)
    scan = read_scan(tmp_path / name)
    np.testing.assert_array_equal(scan.data, data)
    np.testing.assert_allclose(scan.affine, AFFINE, atol=1e-5)
    np.testing.assert_allclose(scan.zooms, np.linalg.norm(AFFINE[:3, :3], axis=0), rtol=1e-6)
    header = nib.load(tmp_path / name).header
    assert header["sform_code"] == header["qform_code"] == 1
    assert header.get_xyzt_units() == ("mm", "sec")


def test_equal_scans_give_equal_bytes_whatever_their_name_and_time(tmp_path, monkeypatch):
    write_scan(tmp_path / "a.nii.gz", volume(), AFFINE)
    monkeypatch.setattr("time.time", lambda: 4e9)
    write_scan(tmp_path / "other.nii.gz", volume(), AFFINE)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "other.nii.gz").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.nii.gz", "other.nii.gz"]


def test_a_mask_is_what_is_not_zero_and_may_be_empty(tmp_path):
    labels = volume() % 3
    np.testing.assert_array_equal(read_mask(plain(tmp_path / "a.nii", labels)), labels > 0)
    empty = read_mask(plain(tmp_path / "b.nii", labels * 0))
    assert empty.dtype == bool
    assert not empty.any()


@pytest.mark.parametrize("value", [0.5, -1, 256, np.nan, np.inf])
def test_what_is_no_label_mask_is_refused(tmp_path, value):
    data = np.zeros((9, 9, 9), np.float32)
    data[4, 4, 4] = value
    path = plain(tmp_path / "mask.nii", data)
    with pytest.raises(CairnError, match="not a label mask") as refused:
        read_mask(path)
    assert refused.value.code == "not-a-mask"
    assert str(path) in refused.value.reason


def test_a_cut_mask_is_refused(tmp_path):
    cut(tmp_path / "mask.nii.gz", 0.7, True)
    with pytest.raises(CairnError) as refused:
        read_mask(tmp_path / "mask.nii.gz")
    assert refused.value.code == "truncated"
