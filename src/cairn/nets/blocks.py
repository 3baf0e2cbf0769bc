"""The blocks that all networks are built from. MONAI is imported here alone, once a network is built: it takes 5 s."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from cairn.nets.lean import lean

NORM = ("instance", {"affine": True})
SLOPE = 0.01


def residual(channels_in: int, channels_out: int, stride: int = 1) -> Any:
    """MONAI's residual block of two convolutions (`UnetResBlock`, after nnU-Net)."""
    with lean():
        from monai.networks.blocks.dynunet_block import UnetResBlock

    return UnetResBlock(3, channels_in, channels_out, kernel_size=3, stride=stride, norm_name=NORM)


def convolution(channels_in: int, channels_out: int, stride: int = 1, kernel: int = 3) -> Any:
    """MONAI's convolution with instance norm and leaky ReLU."""
    with lean():
        from monai.networks.blocks.convolutions import Convolution

    return Convolution(
        3, channels_in, channels_out, strides=stride, kernel_size=kernel, adn_ordering="NA", norm=NORM,
        act=("leakyrelu", {"negative_slope": SLOPE}),
    )  # fmt: skip


def normalisation(channels: int) -> Any:
    """MONAI's instance norm and leaky ReLU, without a convolution."""
    with lean():
        from monai.networks.blocks.acti_norm import ADN

    return ADN(ordering="NA", in_channels=channels, norm=NORM, norm_dim=3, act=("leakyrelu", {"negative_slope": SLOPE}))


def upsampling(channels_in: int, channels_out: int, stride: int = 2) -> nn.Module:
    """Transposed convolution whose kernel is its stride: no overlap, no checkerboard."""
    return nn.ConvTranspose3d(channels_in, channels_out, kernel_size=stride, stride=stride)


def parameters(module: nn.Module) -> int:
    """Number of weights."""
    return sum(p.numel() for p in module.parameters())


def pooled(x_BCXYZ: Tensor) -> Tensor:
    """Mean and maximum over space, ``[B, 2 C]``: a small lesion shows in the maximum, atrophy in the mean."""
    from torch import cat

    return cat([x_BCXYZ.mean(dim=(2, 3, 4)), x_BCXYZ.amax(dim=(2, 3, 4))], dim=1)
