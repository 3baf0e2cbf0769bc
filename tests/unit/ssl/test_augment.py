"""Guards augmentation: place moves view and target alike, intensity never touches the background."""

import numpy as np
import pytest
import torch

from cairn.config.augment import IntensityConfig, SpatialConfig
from cairn.ssl.augment import _affine, _blur, _rotation, intensity, spatial

NONE = dict.fromkeys(("noise", "blur", "bias", "gamma", "contrast", "low_resolution", "gibbs", "ghosting"), 0.0)


def volume():
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((16, 12, 14)).astype(np.float32))
    x[:4] = 0
    return x


@pytest.mark.parametrize("name", sorted(NONE))
def test_each_intensity_change_changes_the_brain_and_leaves_the_background(name):
    changed = intensity(volume(), IntensityConfig(**{**NONE, name: 1.0}), np.random.default_rng(1))
    assert changed.shape == (16, 12, 14)
    assert changed.isfinite().all()
    assert (changed[:4] == 0).all()
    assert not torch.allclose(changed, volume())


def test_nothing_asked_nothing_done():
    assert torch.equal(intensity(volume(), IntensityConfig(**NONE), np.random.default_rng(1)), volume())
    still = SpatialConfig(flip=0, affine=0)
    assert torch.equal(spatial(volume()[None], still, np.random.default_rng(1))[0], volume())


def test_blur_is_a_gaussian():
    from scipy import ndimage

    point = torch.zeros(15, 17, 15)
    point[7, 8, 7] = 1
    expected = ndimage.gaussian_filter(point.numpy(), 1.2, truncate=6)
    np.testing.assert_allclose(_blur(point, 1.2).numpy(), expected, atol=1e-5)


def test_affine_samples_where_scipy_does():
    from scipy import ndimage

    x = torch.from_numpy(ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((18, 14, 16)), 1.5))
    matrix = _rotation(np.array([0.2, -0.1, 0.3])) * 1.05
    middle = (np.array(x.shape) - 1) / 2
    expected = ndimage.affine_transform(x.numpy(), matrix, middle - matrix @ middle, order=1)
    inner = (slice(4, -4),) * 3
    np.testing.assert_allclose(_affine(x[None], matrix)[0].numpy()[inner], expected[inner], atol=1e-5)


def test_labels_follow_and_stay_binary():
    mask = torch.zeros(16, 16, 16)
    mask[3:8, 5:9, 6:11] = 1
    config = SpatialConfig(flip=1.0, affine=1.0)
    moved = spatial(torch.stack([mask * 4, mask]), config, np.random.default_rng(3), labels=1)
    assert set(moved[1].unique().tolist()) == {0.0, 1.0}
    assert ((moved[0] >= 2) == (moved[1] == 1)).all()
    assert not torch.equal(moved[1], mask)
