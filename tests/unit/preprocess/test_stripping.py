"""Guards the strip methods: a given mask, a stripped scan, the carried template, and what they refuse."""

import numpy as np
import pytest
from phantom_head import brain, dice, grid, points_of, pose, scan, write_head

from cairn.config.preprocess import PreprocessConfig
from cairn.errors import CairnError
from cairn.io.nifti import write_scan
from cairn.preprocess.native import NativeScan, read_native
from cairn.preprocess.resources import Resources, Template
from cairn.preprocess.stripping import brain_mask


def config(**strip):
    return PreprocessConfig.model_validate({"strip": strip})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("strip")
    write_head(folder, "T1w", flip=(0,))
    return folder


def test_a_given_mask_is_taken_as_it_is(folder):
    head = read_native(folder / "T1w.nii.gz")
    mask, method = brain_mask(head, config(method="given"), Resources(folder), folder / "T1w_mask.nii.gz")
    assert method == "given"
    truth = brain(points_of(head.data.shape, head.affine))
    assert np.array_equal(mask, truth)


def test_a_given_mask_on_another_grid_or_empty_is_refused_by_name(folder, tmp_path):
    head = read_native(folder / "T1w.nii.gz")
    for name, data, code in (
        ("small", np.ones((5, 5, 5), np.uint8), "mask-shape"),
        ("empty", np.zeros(head.stored_shape, np.uint8), "no-brain"),
    ):
        path = tmp_path / f"{name}.nii.gz"
        write_scan(path, data, head.stored_affine)
        with pytest.raises(CairnError) as refused:
            brain_mask(head, config(method="given"), Resources(folder), path)
        assert refused.value.code == code
        assert str(path) in refused.value.reason
    with pytest.raises(CairnError, match="no such file"):
        brain_mask(head, config(method="given"), Resources(folder), tmp_path / "absent.nii.gz")


def test_a_scan_that_comes_stripped_keeps_its_outline_without_any_network(tmp_path):
    shape, affine = grid("T1w")
    inside = brain(points_of(shape, affine))
    data = np.where(inside, scan("T1w", shape, affine) + 10, 0).astype(np.float32)
    head = NativeScan(tmp_path / "a.nii.gz", data, affine, shape, affine, False)
    mask, method = brain_mask(head, config(), Resources(tmp_path))
    assert method == "as it came"
    assert dice(mask, inside) > 0.999


def test_a_whole_head_is_not_taken_for_a_stripped_one(folder):
    """Without the weights the network's absence must be named, not a head taken for a brain."""
    head = read_native(folder / "T1w.nii.gz")
    with pytest.raises(CairnError) as missing:
        brain_mask(head, config(), Resources(folder))
    assert missing.value.code == "resource"


def test_the_templates_mask_is_carried_back_and_refined(folder):
    shape, affine = grid("T1w")
    points = points_of(shape, affine)
    resources = Resources(folder)
    resources.__dict__["head"] = Template(scan("T1w", shape, affine, seed=5).astype(np.float32), affine, brain(points))
    moved = pose((7, -4, 6), (6, -9, 4))
    data = scan("T1w", shape, affine, moved).astype(np.float32)
    head = NativeScan(folder / "moved.nii.gz", data, affine, shape, affine, False)
    mask, method = brain_mask(head, config(method="template"), resources)
    back = np.linalg.inv(moved)
    assert method == "template"
    assert dice(mask, brain(points @ back[:3, :3].T + back[:3, 3])) > 0.93
