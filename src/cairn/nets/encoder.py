"""The encoder: one input channel, shared by all sequences; what pretraining makes and fine-tuning starts from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from cairn.config.networks import NetworkConfig
from cairn.nets.blocks import convolution, residual


class Encoder(nn.Module):  # type: ignore[misc]
    """U-Net encoder (strided stem, then residual stages, instance norm).

    Args:
        config: channels, blocks, stride of the stem.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        kernel = 3 if config.stem_stride < 3 else config.stem_stride + 1
        self.stem = convolution(1, config.channels[0], stride=config.stem_stride, kernel=kernel)
        self.stages = nn.ModuleList()
        channels_in = config.channels[0]
        for level, (channels, blocks) in enumerate(zip(config.channels, config.blocks, strict=True)):
            stage = nn.Sequential()
            for block in range(blocks):
                stage.append(residual(channels_in, channels, stride=2 if level and not block else 1))
                channels_in = channels
            self.stages.append(stage)

    def forward(self, x_N1XYZ: Tensor) -> list[Tensor]:
        """Features of every stage, finest first: ``[N, C, X / s, Y / s, Z / s]``. Axes must divide by `stride`."""
        if any(n % self.config.stride for n in x_N1XYZ.shape[2:]):
            raise ValueError(f"volume {tuple(x_N1XYZ.shape[2:])} does not divide by the stride {self.config.stride}")
        x = self.stem(x_N1XYZ)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Context in which new layers draw their weights from ``seed``; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
