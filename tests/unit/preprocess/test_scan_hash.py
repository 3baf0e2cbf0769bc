"""Guards the perceptual hash: what it must not see, and what it must."""

import numpy as np
import pytest

from cairn.io.shard import PreprocessedSession, SessionGeometry
from cairn.preprocess.scan_hash import BITS, mirror_mask, scan_hash, session_hashes, waves


def brain(seed, step=3.0, shape=(56, 68, 56), shift=0.0):
    """A smooth random field in an ellipsoid, its mask and affine, as a formula of world mm."""
    affine = np.diag([step, step, step, 1.0])
    affine[:3, 3] = -(np.array(shape) - 1) / 2 * step
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) * step + affine[:3, 3] - shift
    draw, total = np.random.default_rng(seed), np.zeros(shape)
    for _ in range(40):
        direction = draw.normal(size=3)
        direction *= 2 * np.pi / draw.uniform(24, 60) / np.linalg.norm(direction)
        total += np.cos(points @ direction + draw.uniform(0, 2 * np.pi))
    mask = ((points / (62, 76, 56)) ** 2).sum(-1) <= 1
    return np.where(mask, total, 0).astype(np.float32), mask, affine


def distance(one, other):
    return float(np.unpackbits(one ^ other).mean())


def test_bits_are_waves_of_the_band_each_once():
    found = waves()
    assert found.shape == (BITS, 3)
    assert len(np.unique(found, axis=0)) == BITS
    lengths = 1 / np.sqrt(((found / (2 * np.array([168.0, 204.0, 168.0]))) ** 2).sum(1))
    assert lengths.min() >= 20
    assert lengths.max() <= 70


@pytest.mark.parametrize("change", [lambda v: 7 * v, lambda v: v * 0.01 + 300, lambda v: v.astype(np.float16)])
def test_gain_and_offset_change_nothing(change):
    volume, mask, affine = brain(1)
    changed = np.where(mask, change(volume), 5)
    assert distance(scan_hash(volume, mask, affine), scan_hash(changed, mask, affine)) < 0.002


def test_the_grid_matters_little_and_the_place_on_it_nothing():
    reference = scan_hash(*brain(1))
    assert distance(reference, scan_hash(*brain(1, 1.5, (112, 136, 112)))) < 0.04
    assert distance(reference, scan_hash(*brain(1, 5.0, (34, 40, 34)))) < 0.12
    assert distance(reference, scan_hash(*brain(1, shape=(64, 80, 64), shift=4.0))) < 0.04


def test_other_brains_are_far():
    hashes = [scan_hash(*brain(seed)) for seed in range(1, 6)]
    far = [distance(a, b) for i, a in enumerate(hashes) for b in hashes[:i]]
    assert min(far) > 0.4


def test_a_mirrored_head_is_told_by_the_mask_and_an_inverted_one_by_all_bits():
    volume, mask, affine = brain(1)
    reference = scan_hash(volume, mask, affine)
    mirrored = scan_hash(volume[::-1], mask[::-1], affine)
    assert distance(reference, mirrored) > 0.3
    assert distance(reference, mirrored ^ mirror_mask()) < 0.01
    assert distance(reference, scan_hash(-volume, mask, affine)) > 0.99


def test_what_is_outside_the_mask_does_not_count():
    volume, mask, affine = brain(1)
    noise = np.random.default_rng(0).normal(0, 50, volume.shape)
    assert (scan_hash(volume, mask, affine) == scan_hash(np.where(mask, volume, noise), mask, affine)).all()


def test_a_session_has_a_hash_for_every_volume_even_with_an_empty_mask():
    volume, mask, affine = brain(1)
    geometry = SessionGeometry(volume.shape, affine, {})
    session = PreprocessedSession("a", "1", {"T1w": volume, "T2w": -volume}, mask, geometry)
    found = session_hashes(session)
    assert {name: len(h) for name, h in found.items()} == {"T1w": BITS // 4, "T2w": BITS // 4}
    assert found["T1w"] == scan_hash(volume, mask, affine).tobytes().hex()
    session_hashes(PreprocessedSession("a", "1", {"T1w": volume}, np.zeros_like(mask), geometry))
