"""Decoders: a light one without skips for reconstruction, one with fused skips for segmentation."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from cairn.config.networks import NetworkConfig
from cairn.nets.blocks import convolution, normalisation, upsampling

WIDEST_STEP = 4  # of the last upsampling: one linear map to more voxels at once leaves seams


class LightDecoder(nn.Module):  # type: ignore[misc]
    """From the deepest features to an image, one convolution a stage and no skips: the encoder must know (AMAES).

    Args:
        config: the encoder's.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        for deep, fine, step in _steps(config):
            self.stages.append(nn.Sequential(upsampling(deep, fine, step), convolution(fine, fine)))
        self.finer, self.head = _to_voxels(config)

    def forward(self, x_NCXYZ: Tensor) -> Tensor:
        """Image ``[N, 1, X, Y, Z]`` at the input's resolution."""
        for stage in self.stages:
            x_NCXYZ = stage(x_NCXYZ)
        return self.head(self.finer(x_NCXYZ))


class SkipDecoder(nn.Module):  # type: ignore[misc]
    """U-Net decoder: upsample, add the (fused) skip, convolve; logits at the input's resolution.

    Skips are added, as in LinkNet (Chaurasia and Culurciello 2017), not concatenated: half the cost.

    Args:
        config: the encoder's.
        outputs: logits a voxel.
    """

    def __init__(self, config: NetworkConfig, outputs: int = 1) -> None:
        super().__init__()
        self.ups, self.convolutions = nn.ModuleList(), nn.ModuleList()
        for deep, fine, step in _steps(config):
            self.ups.append(upsampling(deep, fine, step))
            self.convolutions.append(convolution(fine, fine))
        self.finer, self.head = _to_voxels(config, outputs)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Logits ``[B, outputs, X, Y, Z]`` from the features of all stages, finest first."""
        x = features[-1]
        for up, convolve, skip in zip(self.ups, self.convolutions, reversed(features[:-1]), strict=True):
            x = convolve(up(x) + skip)
        return self.head(self.finer(x))


def _steps(config: NetworkConfig) -> list[tuple[int, int, int]]:
    """Channels before and after, and upsampling, of every step from the deepest stage to the finest."""
    channels, strides = pairwise(reversed(config.channels)), pairwise(reversed(config.strides))
    return [(deep, fine, coarse // dense) for (deep, fine), (coarse, dense) in zip(channels, strides, strict=True)]


def _to_voxels(config: NetworkConfig, outputs: int = 1) -> tuple[nn.Sequential, nn.Module]:
    """From the finest stage to ``outputs`` numbers a voxel: in steps of 2 where it is far (a ViT's patches of 8)."""
    finer, channels, stride = nn.Sequential(), config.channels[0], config.strides[0]
    far = stride > WIDEST_STEP
    while far and stride > 2:
        fewer = max(1, channels // 2)
        finer.append(nn.Sequential(upsampling(channels, fewer), normalisation(fewer)))
        channels, stride = fewer, stride // 2
    return finer, upsampling(channels, outputs, stride)
