"""Guards the plain U-Net: with a concatenating decoder it has the published number of weights."""

import pytest
import torch
from monai.networks.nets import DynUNet
from torch import nn

from cairn.config.networks import ResidualConfig, UnetConfig
from cairn.nets.blocks import convolution, upsampling
from cairn.nets.registry import build_encoder
from cairn.nets.size import count, counts


def concatenating(config, convolutions):
    """A U-Net's decoder as published: upsample, concatenate the skip, convolve."""
    decoder = nn.ModuleList()
    for deep, fine in zip(config.channels[:0:-1], config.channels[-2::-1], strict=True):
        decoder.append(upsampling(deep, fine))
        decoder.extend(convolution(fine if n else 2 * fine, fine) for n in range(convolutions))
    decoder.append(nn.Conv3d(config.channels[0], 1, kernel_size=1))
    return decoder


def whole(config, convolutions=2):
    return count(lambda: build_encoder(config)) + count(lambda: concatenating(config, convolutions))


@pytest.mark.parametrize(
    ("width", "published", "exact", "ours"),
    [(32, 22e6, 22_581_217, 17_879_617), (64, 90e6, 90_304_449, 71_500_929)],
)
def test_fomo25_baseline(width, published, exact, ours):
    config = UnetConfig(width=width)
    assert whole(config) == exact == pytest.approx(published, rel=0.03)
    fusion = sum(2 * 10 * c + c + 1 for c in config.channels)
    assert counts(config)["dense"] - fusion == ours


def test_the_same_net_in_monai_has_the_same_weights():
    """DynUNet's convolutions have no bias, which a norm makes idle; nothing else differs."""
    config = UnetConfig(width=8)
    with torch.device("meta"):
        other = DynUNet(
            3, 1, 1, kernel_size=[3] * 5, strides=[1, 2, 2, 2, 2], upsample_kernel_size=[2] * 4,
            filters=list(config.channels), norm_name=("instance", {"affine": True}),
        )  # fmt: skip
    bias_of_convolutions = 2 * sum(config.channels) + 2 * sum(config.channels[:-1])
    bias_of_upsampling = sum(config.channels[:-1])
    assert whole(config) == sum(p.numel() for p in other.parameters()) + bias_of_convolutions + bias_of_upsampling


def test_resenc_l_has_its_published_size():
    config = ResidualConfig(channels=(32, 64, 128, 256, 320, 320), blocks=(1, 3, 4, 6, 6, 6), stem_stride=1)
    assert whole(config, convolutions=1) == pytest.approx(102e6, rel=0.01)


def test_strided_and_max_have_the_same_weights():
    assert counts(UnetConfig(width=4, downsampling="strided")) == counts(UnetConfig(width=4))
