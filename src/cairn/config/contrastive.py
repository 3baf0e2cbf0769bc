"""Objectives that compare crops: with other sessions' (SimCLR, MoCo), without negatives (VICReg), by place (VoCo)."""

from __future__ import annotations

from math import prod
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from cairn.config.augment import IntensityConfig, SpatialConfig
from cairn.config.networks import NetworkConfig
from cairn.config.views import ViewConfig
from cairn.errors import CairnError

Width = Annotated[int, Field(ge=1)]
Widths = Annotated[tuple[Width, ...], Field(min_length=1)]


class PairConfig(ViewConfig):
    """Two crops of one session that share a region, each changed on its own."""

    overlap: float = Field(default=0.5, ge=0, le=1)
    """Least share that both crops have in common along each axis: 0.5 along each is an eighth of the volume. 1: the
    same place."""
    spatial: SpatialConfig = SpatialConfig()
    """Undergone by each crop on its own."""
    intensity: IntensityConfig = IntensityConfig()
    """Undergone by each crop on its own."""


class SimclrConfig(PairConfig):
    """SimCLR (Chen et al. 2020): of all crops in the batch, find the other one of the same scan."""

    least_batch: ClassVar[int] = 2
    whole_batch: ClassVar[bool] = True
    views: ClassVar[int] = 2
    kind: Literal["simclr"] = "simclr"
    """The objective."""
    temperature: float = Field(default=0.1, gt=0)
    """Divides the similarities; the paper's for long trainings."""
    projector: Widths = (2048, 128)
    """Widths of the projector's layers; the last is the embedding's (published: 2048, 128)."""


class MocoConfig(PairConfig):
    """MoCo (He et al. 2020) across sequences: of all keys in the queue, find the same place in another sequence.

    At a learning rate of 1e-3 all queries drift together away from the old keys, which lowers the loss and ends in a
    point; the collapse watch then stops the run.
    """

    whole_batch: ClassVar[bool] = True
    kind: Literal["moco"] = "moco"
    """The objective."""
    learning_rate: float | None = Field(default=1e-4, gt=0)
    """Largest learning rate (anyBrainer: 1e-4, after 10,000 steps of warm-up)."""
    overlap: float = Field(default=1.0, ge=0, le=1)
    """Least share that query and key have in common along each axis; 1: the same place."""
    temperature: float = Field(default=0.1, gt=0)
    """Divides the similarities (anyBrainer: 0.1)."""
    projector: Widths = (2048, 128)
    """Widths of the projector's layers; the last is the embedding's (anyBrainer: 2048, 128)."""
    queue: int = Field(default=16384, ge=1)
    """Keys that are kept as negatives, at least a batch (anyBrainer: 16384); the oldest are overwritten first. Few
    sessions fill a long queue with keys of themselves, which are no true negatives."""
    momentum: float = Field(default=0.996, ge=0, lt=1)
    """Share of itself that the key encoder keeps at the first update."""
    momentum_end: float = Field(default=0.999, ge=0, lt=1)
    """The same from ``momentum_steps`` on; half a cosine between."""
    momentum_steps: int = Field(default=200_000, ge=1)
    """Updates in which the momentum rises; a number, so that a longer run begins no differently."""

    @model_validator(mode="after")
    def _rises(self) -> MocoConfig:
        if self.momentum_end < self.momentum:
            raise ValueError(f"momentum_end {self.momentum_end} is below momentum {self.momentum}")
        return self

    def check_batch(self, batch_size: int) -> None:
        """Also: the queue holds a batch."""
        super().check_batch(batch_size)
        if self.queue < batch_size:
            reason = f"objective moco: a queue of {self.queue} does not hold a batch of {batch_size} keys."
            raise CairnError(reason, f"Set queue to {batch_size} or more.", code="config")


class VicregConfig(PairConfig):
    """VICReg (Bardes et al. 2022): two crops alike, every dimension spread over the batch, no two saying the same."""

    least_batch: ClassVar[int] = 2
    whole_batch: ClassVar[bool] = True
    views: ClassVar[int] = 2
    kind: Literal["vicreg"] = "vicreg"
    """The objective."""
    invariance: float = Field(default=25.0, ge=0)
    """Weight of the distance between the two embeddings (published: 25)."""
    variance: float = Field(default=25.0, ge=0)
    """Weight of what the standard deviations lack of 1 (published: 25). 0 lets the embedding collapse."""
    covariance: float = Field(default=1.0, ge=0)
    """Weight of the covariances between dimensions (published: 1)."""
    expander: Widths = (512, 512, 128)
    """Widths of the expander's layers. Published: 8192 three times, for batches of 2048; n samples span n - 1
    dimensions, so that with a small batch a wide embedding cannot be without covariance."""


class VocoConfig(ViewConfig):
    """VoCo (Wu et al. 2024): where in a grid of base crops does a random crop lie, and how much of each is in it?"""

    whole_batch: ClassVar[bool] = True
    kind: Literal["voco"] = "voco"
    """The objective."""
    patch_voxels: tuple[int, int, int] = (32, 32, 32)
    """Size of the random crop and of each base crop."""
    grid: tuple[Width, Width, Width] = (2, 2, 2)
    """Base crops along each axis; side by side they should cover the brain (published: 4 x 4 in a slab of CT)."""
    regulariser: float = Field(default=1.0, ge=0)
    """Weight of the similarity between base crops (published: 1)."""
    projector: Widths = (2048, 128)
    """Widths of the projector's layers; the last is the embedding's."""
    spatial: SpatialConfig = SpatialConfig()
    """Undergone by the whole grid before any crop is cut, so that the shares stay true."""
    intensity: IntensityConfig = IntensityConfig()
    """Undergone by each crop on its own."""

    def seen(self, patch: int) -> list[tuple[int, tuple[int, ...]]]:
        """The random crop, and the base crops."""
        return [(1 + prod(self.grid), self.patch_voxels)]

    def check(self, network: NetworkConfig) -> None:
        """Also: there are two base crops or more."""
        super().check(network)
        if prod(self.grid) < 2:
            raise CairnError("objective voco: a grid of one base crop.", "Take a grid of two or more.", code="config")
