"""MedNeXt's encoder on MONAI's blocks (Roy et al. 2023, arXiv 2303.09975)."""

from __future__ import annotations

from torch import Tensor, nn

from cairn.config.networks import MedNextConfig
from cairn.nets.encoder import Encoder, in_turn
from cairn.nets.lean import lean


class MedNextEncoder(Encoder):
    """A convolution voxel by voxel, then stages of MedNeXt blocks with residual downsampling between them.

    The layers are those of MONAI's `MedNeXt` down to its bottleneck, which is the last stage here.

    Args:
        config: width, blocks and expansion of each stage, kernel.
    """

    config: MedNextConfig

    def __init__(self, config: MedNextConfig) -> None:
        with lean():
            from monai.networks.blocks.mednext_block import MedNeXtBlock, MedNeXtDownBlock

        super().__init__(config)
        self.stem = nn.Conv3d(1, config.width, kernel_size=1)
        self.stages = nn.ModuleList()
        for level, (channels, blocks) in enumerate(zip(config.channels, config.blocks, strict=True)):
            stage = nn.Sequential()
            if level:
                finer = level - 1  # whose expansion the step down has, as MONAI does it
                stage.append(
                    MedNeXtDownBlock(
                        config.channels[finer], channels, config.expansion[finer], config.kernel,
                        use_residual_connection=True,
                    )
                )  # fmt: skip
            for _ in range(blocks):
                stage.append(MedNeXtBlock(channels, channels, config.expansion[level], config.kernel))
            self.stages.append(stage)

    def features(self, x_N1XYZ: Tensor) -> list[Tensor]:
        """Of every stage."""
        return in_turn(self.stages, self.stem(x_N1XYZ))
