"""Decoders: a light one without skips for reconstruction, one with fused skips for segmentation."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from cairn.config.networks import NetworkConfig
from cairn.nets.blocks import convolution, upsampling


class LightDecoder(nn.Module):  # type: ignore[misc]
    """From the deepest features to an image, one convolution a stage and no skips: the encoder must know (AMAES).

    Args:
        config: the encoder's.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        for deep, fine in pairwise(reversed(config.channels)):
            self.stages.append(nn.Sequential(upsampling(deep, fine), convolution(fine, fine)))
        self.head = upsampling(config.channels[0], 1, config.stem_stride)

    def forward(self, x_NCXYZ: Tensor) -> Tensor:
        """Image ``[N, 1, X, Y, Z]`` at the input's resolution."""
        for stage in self.stages:
            x_NCXYZ = stage(x_NCXYZ)
        return self.head(x_NCXYZ)


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
        for deep, fine in pairwise(reversed(config.channels)):
            self.ups.append(upsampling(deep, fine))
            self.convolutions.append(convolution(fine, fine))
        self.head = upsampling(config.channels[0], outputs, config.stem_stride)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Logits ``[B, outputs, X, Y, Z]`` from the features of all stages, finest first."""
        x = features[-1]
        for up, convolve, skip in zip(self.ups, self.convolutions, reversed(features[:-1]), strict=True):
            x = convolve(up(x) + skip)
        return self.head(x)
