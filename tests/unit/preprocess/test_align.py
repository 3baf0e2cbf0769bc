"""Guards alignment: the information measure, the rigid part of an affine, large movements, and flipped scans."""

from dataclasses import replace

import numpy as np
import pytest
from phantom_head import CENTRE, brain, grid, points_of, pose, scan

from cairn.config.preprocess import RegistrationConfig
from cairn.preprocess.align import (
    affine_to_template,
    coarse_reference,
    mutual_information,
    rigid_part,
    rigid_to_reference,
)
from cairn.preprocess.ants_bridge import load_ants, sampling_rate, to_ants
from cairn.preprocess.movement import movement
from cairn.preprocess.native import NativeScan
from cairn.preprocess.resources import Template

CONFIG = RegistrationConfig()


def native(sequence, moved=None, seed=0):
    shape, affine = grid(sequence)
    data = scan(sequence, shape, affine, moved, seed).astype(np.float32)
    return NativeScan(f"{sequence}.nii.gz", data, affine, shape, affine, False)


@pytest.fixture(scope="module")
def reference():
    head = native("T1w")
    return coarse_reference(head, brain(points_of(head.stored_shape, head.affine)), CONFIG)


def to_template():
    out = np.eye(4)
    out[:3, 3] = CENTRE
    return out


def test_mutual_information_is_one_for_strangers_and_two_for_twins():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 50_000))
    assert mutual_information(a, b) < 1.01
    assert mutual_information(a, -(a**3)) == pytest.approx(2, abs=0.01)  # any one-to-one contrast


def test_rigid_part_of_a_scaled_and_sheared_turn_is_the_turn():
    turn = pose((10, -20, 30), (4, 5, 6))
    stretch = np.eye(4)
    stretch[:3, :3] = [[0.9, 0.05, 0], [0.05, 1.1, 0], [0, 0, 0.8]]
    affine = turn @ stretch
    rigid = rigid_part(affine, CENTRE)
    np.testing.assert_allclose(rigid[:3, :3], turn[:3, :3], atol=1e-9)
    np.testing.assert_allclose(rigid @ [*CENTRE, 1], affine @ [*CENTRE, 1])


def test_a_patient_who_turned_far_is_still_found(reference):
    moved = pose((6, -5, 9), (8, -6, 5))
    found = rigid_to_reference(reference, native("T2w", moved), to_template(), CONFIG)
    assert np.linalg.norm(((found.matrix - moved) @ [*CENTRE, 1])[:3]) <= 1
    assert movement(found.matrix @ np.linalg.inv(moved), CENTRE)[1] <= 1


def test_a_flipped_scan_fits_better_when_mirrored_and_a_true_one_worse(reference):
    true = native("T2w", pose((1, 1, -2), (1, 0, 1)))
    flipped = replace(true, data=np.ascontiguousarray(true.data[::-1]))
    assert rigid_to_reference(reference, true, to_template(), CONFIG).mirror_gain < -0.01
    assert rigid_to_reference(reference, flipped, to_template(), CONFIG).mirror_gain > 0.01


def test_the_affine_to_the_template_turns_a_tilted_brain_upright():
    shape, affine = grid("T1w")
    points = points_of(shape, affine)
    template = Template(
        np.where(brain(points), scan("T1w", shape, affine), 0).astype(np.float32), affine, brain(points)
    )
    moved = pose((12, 5, -8), (10, 20, -5))
    head = native("T1w", moved, seed=3)
    back = np.linalg.inv(moved)
    found = affine_to_template(head, brain(points @ back[:3, :3].T + back[:3, 3]), template, CONFIG)
    assert np.linalg.norm(((found - moved) @ [*CENTRE, 1])[:3]) < 2
    assert movement(rigid_part(found, CENTRE) @ np.linalg.inv(moved), CENTRE)[1] < 3


def test_sheared_voxels_are_straightened_for_itk():
    ants = load_ants(1)  # imported any other way, ITK takes every core, and what follows here is not repeatable
    sheared = np.array([[2, 0.4, 0, -10], [0, 2, 0, -12], [0, 0, 2, -14], [0, 0, 0, 1.0]])
    index = np.stack(np.meshgrid(*[np.arange(14)] * 3, indexing="ij"), -1)
    world = index @ sheared[:3, :3].T + sheared[:3, 3]
    ball = (np.linalg.norm(world - world.reshape(-1, 3).mean(0), axis=-1) < 8).astype(np.float32)
    image = to_ants(ants, ball, sheared)
    where = np.argwhere(image.numpy() > 0.5).mean(0)
    lps = np.array(image.origin) + image.direction @ (where * image.spacing)
    np.testing.assert_allclose(lps * [-1, -1, 1], world.reshape(-1, 3).mean(0), atol=0.5)


@pytest.mark.parametrize("shape", [(78, 97, 77), (80, 101, 81), (74, 86, 62)])
def test_sampled_voxels_leave_no_column_unseen(shape):
    """Every n-th voxel in memory order, n sharing no factor with a side: every plane across every axis is looked at."""
    step = int(np.ceil(1 / sampling_rate(shape, 10_000) - 1e-9))
    picked = np.unravel_index(np.arange(0, np.prod(shape), step), shape, order="F")
    for axis, length in enumerate(shape):
        seen = np.bincount(picked[axis], minlength=length)
        assert seen.min() > 0.7 * seen.mean()
    assert 10_000 <= len(picked[0]) < 16_000


def test_small_images_are_sampled_whole():
    assert sampling_rate((10, 10, 10), 10_000) == 1.0
