"""Guards the blocks of JEPA: of the size asked, never overlapping, never empty."""

import itertools

import numpy as np
import pytest
import torch

from cairn.config.latents import JepaConfig
from cairn.ssl.draws import generator
from cairn.ssl.latents_blocks import target_and_context


def drawn(grid, count=200, **changes):
    config = JepaConfig(kind="jepa", **changes)
    return [target_and_context(grid, config, generator(0, "b", i)) for i in range(count)]


@pytest.mark.parametrize("grid", [(2, 2, 2), (3, 3, 3), (2, 3, 5), (10, 9, 8)])
@pytest.mark.parametrize("targets", [1, 4, 7])
def test_neither_is_empty_and_no_voxel_is_both(grid, targets):
    for target, context in drawn(grid, 60, targets=targets, target_share=(0.1, 0.9), context_share=(0.05, 1.0)):
        assert target.any()
        assert context.any()
        assert not (target & context).any()


def test_blocks_are_boxes_of_the_share_asked():
    grid = (16, 16, 16)
    shares, longest = [], []
    for target, _ in drawn(grid, targets=1):
        edges = [np.ptp(axis) + 1 for axis in np.nonzero(target.numpy())]
        assert np.prod(edges) == target.sum()  # a full box
        shares.append(np.prod(edges) / 16**3)
        longest.append(max(edges) / np.prod(edges) ** (1 / 3))
    assert 0.15 < np.mean(shares) < 0.2
    assert 1.2 < max(longest) < 1.8


def test_the_context_is_a_large_block_less_the_targets():
    for target, context in drawn((10, 10, 10), 50):
        hull = [slice(a.min(), a.max() + 1) for a in np.nonzero(context.numpy())]
        assert (context | target)[tuple(hull)].all()
        assert context.sum() <= 1000 - target.sum()
    whole = drawn((10, 10, 10), 20, context_share=(1.0, 1.0))
    assert all(torch.equal(context, ~target) for target, context in whole)


def test_targets_reach_every_voxel():
    seen = sum(target.int() for target, _ in drawn((4, 4, 4)))
    assert all(seen[place] > 0 for place in itertools.product(range(4), repeat=3))
