"""Guards the networks' sections: told apart by kind, `residual` where none is named, and free of torch."""

import subprocess
import sys

import pytest

from cairn.config.networks import ResidualConfig, UnetConfig, parse_network
from cairn.errors import CairnError


def test_a_section_without_kind_is_residual():
    assert parse_network({"channels": [4, 8], "blocks": [0, 1]}) == ResidualConfig(channels=(4, 8), blocks=(0, 1))


def test_every_section_survives_its_own_dump():
    for section in ({}, {"kind": "unet", "width": 8}, {"kind": "vit"}, {"kind": "swin"}, {"kind": "mednext"}):
        network = parse_network(section)
        assert parse_network(network.model_dump(mode="json")) == network


def test_mistakes_are_named_by_the_user_s_keys():
    with pytest.raises(CairnError, match=r"unknown key 'network\.widht' \(did you mean 'width'"):
        parse_network({"kind": "unet", "widht": 3})
    with pytest.raises(
        CairnError, match=r"unknown key 'network\.width' \(known keys: blocks, channels, kind, standardise, stem"
    ):
        parse_network({"width": 3})
    with pytest.raises(CairnError, match=r"'unett' .*'residual', 'unet'"):
        parse_network({"kind": "unett"})


def test_strides_follow_from_the_section():
    assert UnetConfig(levels=3).strides == (1, 2, 4)
    assert ResidualConfig(stem_stride=4).strides == (4, 8, 16, 32)


def test_planning_needs_no_torch():
    code = "import sys, cairn.plan; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
