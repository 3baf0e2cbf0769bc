"""What every encoder is, and the residual one: what pretraining makes and fine-tuning starts from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from cairn.config.networks import NetworkConfig, ResidualConfig
from cairn.errors import CairnError
from cairn.nets.blocks import convolution, residual


class Encoder(nn.Module):  # type: ignore[misc]
    """Base of every encoder: one input channel, shared by all sequences; `registry.build_encoder` makes them.

    Encoders of slices (`cairn.nets.slice_encoder`) have two axes where it says X, Y, Z.

    Args:
        config: the network's section; ``channels``, ``strides`` and ``stride`` say what comes out.
    """

    config: NetworkConfig

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, x_N1XYZ: Tensor) -> list[Tensor]:
        """Features of every stage, finest first: ``[N, C, X / s, Y / s, Z / s]``.

        Raises:
            CairnError: when an axis does not divide by the deepest stride.
        """
        self.check_size(x_N1XYZ)
        return self.features(x_N1XYZ)

    def check_size(self, x_N1XYZ: Tensor) -> None:
        """Refuse a batch of volumes, or of slices, that does not divide by the deepest stride.

        Raises:
            CairnError: with code ``shape``.
        """
        size, dims = tuple(x_N1XYZ.shape[2:]), self.config.dims
        what = {2: "image", 3: "volume"}[dims]
        if len(size) != dims:
            reason = f"network {self.config.kind}: a batch of shape {tuple(x_N1XYZ.shape)} is none of {what}s."
            raise CairnError(reason, f"Give a batch, one channel, {dims} axes.", code="shape")
        if any(n % self.config.stride for n in size):
            reason = f"network {self.config.kind}: {what} {size} does not divide by its stride, {self.config.stride}."
            raise CairnError(reason, f"Take multiples of {self.config.stride}.", code="shape")

    @abstractmethod
    def features(self, x_N1XYZ: Tensor) -> list[Tensor]:
        """`forward` for a volume that divides."""


class ResidualEncoder(Encoder):
    """U-Net encoder (strided stem, then residual stages, instance norm).

    Args:
        config: channels, blocks, stride of the stem.
    """

    config: ResidualConfig

    def __init__(self, config: ResidualConfig) -> None:
        super().__init__(config)
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

    def features(self, x_N1XYZ: Tensor) -> list[Tensor]:
        """Of every stage."""
        return in_turn(self.stages, self.stem(x_N1XYZ))


def in_turn(stages: nn.ModuleList, x_NCXYZ: Tensor) -> list[Tensor]:
    """What each stage makes of the one before."""
    features = []
    for stage in stages:
        x_NCXYZ = stage(x_NCXYZ)
        features.append(x_NCXYZ)
    return features


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Context in which new layers draw their weights from ``seed``; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
