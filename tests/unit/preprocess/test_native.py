"""Guards orientation: what is turned to RAS comes back as stored, and averaging voxels moves nothing."""

import itertools

import nibabel as nib
import numpy as np
import pytest

from cairn.io.nifti import write_scan
from cairn.preprocess.native import block_mean, read_native


@pytest.mark.parametrize("code", ["LPS", "PSR", "RPI", "ASL", "LIP", "SRA"])
def test_ras_order_keeps_world_places_and_returns(tmp_path, code):
    shape = (7, 9, 11)
    target = nib.orientations.axcodes2ornt(code)
    base = np.diag([4.0, 5.0, 6.0, 1.0])
    turn = nib.orientations.inv_ornt_aff(nib.orientations.ornt_transform(nib.io_orientation(np.eye(4)), target), shape)
    affine = base @ turn
    data = np.zeros(shape, np.float32)
    data[2, 3, 4] = 5
    write_scan(tmp_path / "a.nii.gz", data, affine)
    scan = read_native(tmp_path / "a.nii.gz")
    assert "".join(nib.aff2axcodes(scan.affine)) == "RAS"
    (where,) = np.argwhere(scan.data == 5)
    np.testing.assert_allclose((scan.affine @ [*where, 1])[:3], (affine @ [2, 3, 4, 1])[:3])
    assert np.array_equal(scan.stored_order(scan.data == 5), data == 5)
    assert np.array_equal(scan.ras_order(data == 5), scan.data == 5)


def test_a_header_whose_transforms_disagree_on_left_is_noticed(tmp_path):
    data = np.random.default_rng(0).random((8, 8, 8)).astype(np.float32)
    image = nib.Nifti1Image(data, np.diag([8.0, 8, 8, 1]))
    image.set_qform(np.diag([8.0, 8, 8, 1]), code=1)
    image.set_sform(np.diag([-8.0, 8, 8, 1]), code=1)
    nib.save(image, tmp_path / "bad.nii.gz")
    image.set_sform(np.diag([8.0, 8, 8, 1]), code=1)
    nib.save(image, tmp_path / "good.nii.gz")
    assert read_native(tmp_path / "bad.nii.gz").header_flip
    assert not read_native(tmp_path / "good.nii.gz").header_flip


@pytest.mark.parametrize("spacing", [2.0, 3.0, 4.4])
def test_block_mean_of_a_ramp_is_the_ramp_at_the_new_centres(spacing):
    affine = np.diag([1.0, 1.5, 5.0, 1.0])
    affine[:3, 3] = (-3, 4, 10)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in (24, 25, 7)], indexing="ij"), -1)
    ramp = (index @ affine[:3, :3].T + affine[:3, 3]) @ [1.0, -2.0, 0.5]
    coarse, moved = block_mean(ramp, affine, spacing)
    for where in itertools.islice(np.ndindex(coarse.shape), 0, None, 17):
        world = moved[:3, :3] @ where + moved[:3, 3]
        assert coarse[where] == pytest.approx(world @ [1.0, -2.0, 0.5], abs=1e-3)
    assert coarse.shape[2] == 7  # slices thicker than the spacing stay
