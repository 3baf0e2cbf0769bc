"""The encoder's size. A size is a row of configuration, never a class."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from cairn.config.base import Section


class NetworkConfig(Section):
    """A 3D U-Net encoder on MONAI's residual blocks, one input channel, shared by all sequences."""

    channels: tuple[int, ...] = (16, 32, 64, 128)
    """Channels of each stage; every stage after the first halves the grid."""
    blocks: tuple[int, ...] = (0, 1, 1, 1)
    """Residual blocks of each stage. 0 in the first stage: the stem alone, which saves most of the time on a CPU."""
    stem_stride: Literal[1, 2, 4] = 2
    """Stride of the first convolution. A U-Net that works at full resolution first is 5 to 10 times dearer."""

    @model_validator(mode="after")
    def _consistent(self) -> NetworkConfig:
        if len(self.channels) != len(self.blocks) or len(self.channels) < 2:
            raise ValueError("channels and blocks must have the same length, at least 2")
        if min(self.channels) < 1 or min(self.blocks) < 0 or 0 in self.blocks[1:]:
            raise ValueError("channels are positive, and every stage after the first has one block or more")
        return self

    @property
    def stride(self) -> int:
        """Voxels of the input to one voxel of the deepest stage, along each axis."""
        return int(self.stem_stride * 2 ** (len(self.channels) - 1))
