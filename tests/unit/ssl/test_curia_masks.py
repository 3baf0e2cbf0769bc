"""Guards hidden patches: how many, in blocks, around the anatomy, wherever the crop was cut."""

import numpy as np
import pytest
from radiology import CURIA

from cairn.config.base import parse
from cairn.config.curia import CuriaConfig
from cairn.ssl.curia_crops import Box
from cairn.ssl.curia_masks import hidden_patches, in_grid
from cairn.ssl.draws import generator


def config(**changes):
    return parse(CuriaConfig, {**CURIA, "mask_probability": 1.0, **changes})


def masks(grid, place, count=200, **changes):
    return np.stack(
        [hidden_patches(grid, place, config(**changes), generator(0, "m", i)).numpy() for i in range(count)]
    )


@pytest.mark.parametrize("place", [None, (3.0, 10.0), (-30.0, 50.0)])
def test_exactly_the_share_is_hidden(place):
    counts = masks(16, place, mask_ratio=[0.25, 0.25]).sum(axis=(1, 2))
    assert (counts == 64).all()
    drawn = masks(16, place).sum(axis=(1, 2)) / 256
    assert 0.09 < drawn.min() < 0.13
    assert 0.47 < drawn.max() < 0.51
    assert abs(drawn.mean() - 0.3) < 0.03
    assert (masks(16, place, 5, mask_ratio=[1.0, 1.0])).all()
    assert (masks(2, place, 5, mask_ratio=[0.01, 0.01]).sum(axis=(1, 2)) == 1).all()


def test_half_of_the_crops_have_none():
    hidden = masks(8, None, 400, mask_probability=0.5).any(axis=(1, 2))
    assert abs(hidden.mean() - 0.5) < 0.07
    assert not masks(8, None, 20, mask_probability=0.0).any()


def test_they_are_blocks():
    """A hidden patch's neighbour is hidden far more often than if patches were hidden one by one."""
    hidden = masks(16, None, mask_ratio=[0.3, 0.3])
    both = (hidden[:, :, 1:] & hidden[:, :, :-1]).sum() / hidden[:, :, :-1].sum()
    assert both > 0.6
    assert hidden.any(axis=0).all()  # anywhere


def far(hidden, place):
    _, rows, columns = np.nonzero(hidden)
    return np.hypot(rows + 0.5 - place[0], columns + 0.5 - place[1]).mean()


def test_around_the_anatomy_they_centre_on_it():
    place = (4.0, 11.0)
    ratio = {"mask_ratio": [0.2, 0.2]}
    around, anywhere = masks(16, place, mask_sigma=0.1, **ratio), masks(16, None, **ratio)
    assert far(around, place) < 0.6 * far(anywhere, place)
    assert far(around, place) < far(masks(16, place, mask_sigma=0.4, **ratio), place)
    _, rows, columns = np.nonzero(around)
    assert np.abs([rows.mean() + 0.5 - 4, columns.mean() + 0.5 - 11]).max() < 1


def test_the_centre_is_shifted_by_the_offset_of_the_crop():
    assert in_grid((30.0, 20.0), Box(10, 0, 40, 80), 8) == (4.0, 2.0)
    assert in_grid((30.0, 20.0), Box(20, 10, 40, 80), 8) == (2.0, 1.0)
    assert in_grid((30.0, 20.0), Box(40, 0, 40, 80), 8) == (-2.0, 2.0)
