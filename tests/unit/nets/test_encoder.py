"""Guards the encoder: its stages' shapes, its seed, and what it refuses."""

import pytest
import torch

from cairn.config import parse
from cairn.config.networks import ResidualConfig
from cairn.errors import CairnError
from cairn.nets.encoder import ResidualEncoder, seeded

TINY = ResidualConfig(channels=(4, 6, 8), blocks=(0, 1, 2), stem_stride=2)


def test_every_stage_halves_the_grid():
    features = ResidualEncoder(TINY)(torch.zeros(3, 1, 16, 24, 8))
    assert [tuple(f.shape) for f in features] == [(3, 4, 8, 12, 4), (3, 6, 4, 6, 2), (3, 8, 2, 3, 1)]
    assert TINY.stride == 8


@pytest.mark.parametrize("stem_stride", [1, 2, 4])
def test_stem_strides(stem_stride):
    config = ResidualConfig(channels=(4, 6), blocks=(1, 1), stem_stride=stem_stride)
    assert ResidualEncoder(config)(torch.zeros(1, 1, 16, 16, 16))[-1].shape[-1] == 16 // (2 * stem_stride)


def test_seed_decides_the_start_and_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    with seeded(1):
        a = ResidualEncoder(TINY).state_dict()
    with seeded(1):
        b = ResidualEncoder(TINY).state_dict()
    with seeded(2):
        c = ResidualEncoder(TINY).state_dict()
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not torch.equal(a["stem.conv.weight"], c["stem.conv.weight"])
    assert torch.equal(before, torch.get_rng_state())


def test_a_volume_that_does_not_divide_is_refused():
    with pytest.raises(CairnError, match="does not divide"):
        ResidualEncoder(TINY)(torch.zeros(1, 1, 12, 16, 16))


@pytest.mark.parametrize("bad", [{"channels": (4, 6)}, {"blocks": (0, 0, 1, 1)}, {"channels": (4,), "blocks": (1,)}])
def test_inconsistent_sections_are_refused(bad):
    with pytest.raises(CairnError):
        parse(ResidualConfig, bad)
