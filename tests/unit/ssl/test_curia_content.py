"""Guards where content is said to be: centre, shares, pixels around the centre."""

import numpy as np
import pytest

from cairn.ssl.curia_content import Content, gaussian
from cairn.ssl.draws import generator


def test_content_adds_up():
    mask = np.random.default_rng(0).random((9, 7)) < 0.4
    content = Content(mask, 0.25)
    assert content.share(2, 1, 5, 4) == pytest.approx(mask[2:7, 1:5].mean())
    assert content.share(0, 0, 9, 7) == pytest.approx(mask.mean())
    rows, columns = np.nonzero(mask)
    assert content.centre == pytest.approx((rows.mean() + 0.5, columns.mean() + 0.5))
    assert Content(np.zeros((4, 6), bool), 0.25).centre == (2, 3)


def test_pixels_are_of_content_and_as_likely_as_the_gaussian_says():
    mask = np.random.default_rng(1).random((6, 5)) < 0.5
    content, draw = Content(mask, 0.3), generator(0, "p")
    counts = np.zeros(mask.shape)
    for _ in range(8000):
        counts[content.pixel(draw)] += 1
    expected = gaussian(mask.shape, content.centre, 0.3) * mask
    assert (counts[~mask] == 0).all()
    np.testing.assert_allclose(counts / 8000, expected / expected.sum(), atol=0.015)
    empty = Content(np.zeros((6, 5), bool), 0.3)
    assert len({empty.pixel(draw) for _ in range(200)}) > 15


def test_the_gaussian_is_the_plain_one():
    found = gaussian((4, 6), (1.5, 9.0), 0.5)
    expected = np.array(
        [[np.exp(-0.5 * (((r + 0.5 - 1.5) / 2) ** 2 + ((c + 0.5 - 9) / 3) ** 2)) for c in range(6)] for r in range(4)]
    )
    np.testing.assert_allclose(found, expected / expected.max(), atol=1e-12)
