"""Guards crops of slices: sizes, places, resizing, flips, and that content-aware ones hold more of the head."""

import numpy as np
import pytest
import torch
from placed import PLAIN
from radiology import CURIA

from cairn.config.base import parse
from cairn.config.curia import CuriaConfig
from cairn.ssl.curia_content import Content
from cairn.ssl.curia_crops import Box, cut, draw_box
from cairn.ssl.curia_slices import Slice
from cairn.ssl.draws import generator


def config(**changes):
    return parse(CuriaConfig, {**CURIA, "intensity": PLAIN.model_dump(), **changes})


def off_middle(sigma=0.25, size=(60, 80)):
    """A head at the lower left, of an eighth of the slice."""
    mask = np.zeros(size, bool)
    mask[30:50, 8:38] = True
    return Content(mask, sigma)


def test_uniform_crops_lie_anywhere_and_have_their_share():
    content, boxes = off_middle(), []
    for i in range(400):
        box = draw_box(content, (0.05, 0.32), config(), generator(0, "b", i))
        assert 0 <= box.top <= 60 - box.height
        assert 0 <= box.left <= 80 - box.width
        boxes.append(box)
    shares = np.array([b.height * b.width / 4800 for b in boxes])
    assert 0.04 < shares.min() < 0.07
    assert 0.29 < shares.max() < 0.34
    assert abs(shares.mean() - 0.185) < 0.02
    aspects = np.array([b.height / 60 / (b.width / 80) for b in boxes])
    assert 0.68 < aspects.min() < 0.8
    assert 1.25 < aspects.max() < 1.47
    centres = np.array([(b.top + b.height / 2, b.left + b.width / 2) for b in boxes]).mean(axis=0)
    assert np.abs(centres - (30, 40)).max() < 2


def test_content_crops_hold_more_of_the_head_than_uniform_ones():
    content = off_middle()
    held = {}
    for crops in ("uniform", "content"):
        boxes = [draw_box(content, (0.05, 0.2), config(crops=crops), generator(0, "b", i)) for i in range(200)]
        held[crops] = np.array([content.share(*b) for b in boxes])
        sizes = [b.height * b.width for b in boxes]
        held[crops + " size"] = np.mean(sizes)
    assert held["content"].mean() > 2 * held["uniform"].mean()
    assert (held["content"] >= 0.7).mean() > 0.6
    assert held["content size"] == pytest.approx(held["uniform size"], rel=0.1)  # small ones are not favoured


def test_tries_and_the_least_content_count():
    def held(sigma=0.25, **changes):
        c = config(crops="content", **changes)
        content = off_middle(sigma)
        return np.mean([content.share(*draw_box(content, (0.1, 0.1), c, generator(0, "b", i))) for i in range(100)])

    assert held(crop_tries=1) < held(crop_tries=20, min_content=1.0)
    assert held(min_content=0.0) == held(crop_tries=1)
    assert held(0.02, crop_tries=1) > held(2.0, crop_tries=1)


@pytest.mark.parametrize("crops", ["uniform", "content"])
def test_of_a_slice_without_content_and_of_rings_there_are_crops(crops):
    empty = Content(np.zeros((20, 20), bool), 0.001)
    ring = np.ones((20, 20), bool)
    ring[1:-1, 1:-1] = False
    for content in (empty, Content(ring, 0.001)):
        box = draw_box(content, (0.5, 1.0), config(crops=crops), generator(0, "e"))
        assert box.top + box.height <= 20
        assert box.left + box.width <= 20
    whole = draw_box(empty, (1.0, 1.0), config(crops=crops, crop_aspect=1.0), generator(0, "e"))
    assert whole == Box(0, 0, 20, 20)


def test_a_crop_is_the_box_resized_and_flipped():
    image = torch.arange(24 * 24, dtype=torch.float32).view(24, 24) / 100 + 1
    piece = Slice(image, Content(np.ones((24, 24), bool), 0.25), "axial")
    draw = generator(0, "c")
    same = cut(piece, Box(3, 5, 16, 16), 16, False, config(), draw)
    assert torch.equal(same, image[3:19, 5:21])
    assert torch.equal(cut(piece, Box(3, 5, 16, 16), 16, True, config(), draw), same.flip(1))
    small = cut(piece, Box(0, 0, 24, 24), 8, False, config(), draw)
    assert small.shape == (8, 8)
    assert torch.allclose(small[1:-1, 1:-1], image.unfold(0, 3, 3).unfold(1, 3, 3).mean((2, 3))[1:-1, 1:-1], atol=0.02)
    changed = config(intensity={"contrast": 1.0})
    assert not torch.equal(cut(piece, Box(3, 5, 16, 16), 16, False, changed, draw), same)
