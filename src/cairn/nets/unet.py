"""The plain 3D U-Net encoder of FOMO25's baseline (after Ronneberger et al. 2015 and nnU-Net)."""

from __future__ import annotations

from torch import Tensor, nn

from cairn.config.networks import UnetConfig
from cairn.nets.blocks import convolution
from cairn.nets.encoder import Encoder, in_turn


class UnetEncoder(Encoder):
    """Stages of convolutions with instance norm and leaky ReLU; the first at full resolution.

    Args:
        config: width, levels, convolutions of a stage, way of downsampling.
    """

    config: UnetConfig

    def __init__(self, config: UnetConfig) -> None:
        super().__init__(config)
        self.stages = nn.ModuleList()
        channels_in = 1
        for level, channels in enumerate(config.channels):
            stage = nn.Sequential()
            if level and config.downsampling == "max":
                stage.append(nn.MaxPool3d(2))  # windows that do not overlap: no sum of gradients in any order
            stride = 2 if level and config.downsampling == "strided" else 1
            for number in range(config.convolutions):
                stage.append(convolution(channels_in, channels, stride=1 if number else stride))
                channels_in = channels
            self.stages.append(stage)

    def features(self, x_N1XYZ: Tensor) -> list[Tensor]:
        """Of every stage."""
        return in_turn(self.stages, x_N1XYZ)
