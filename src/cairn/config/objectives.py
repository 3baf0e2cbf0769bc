"""Self-supervised objectives: one section a kind, told apart by ``kind``; what they share is in `views`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from cairn.config.augment import IntensityConfig, SpatialConfig
from cairn.config.contrastive import MocoConfig, SimclrConfig, VicregConfig, VocoConfig
from cairn.config.curia import CuriaConfig
from cairn.config.latents import DinoConfig, HybridConfig, JepaConfig, SubjectSequenceConfig
from cairn.config.networks import NetworkConfig
from cairn.config.views import ViewConfig, multiple_of


class MaeConfig(ViewConfig):
    """Masked autoencoding as in AMAES (Munk et al. 2024): the net fills hidden cubes in and undoes the augmentation."""

    whole_batch: ClassVar[bool] = True
    kind: Literal["mae"] = "mae"
    """The objective."""
    mask_ratio: float = Field(default=0.6, gt=0, lt=1)
    """Share of the cubes that are hidden."""
    mask_unit_voxels: int = Field(default=4, ge=1)
    """Side of a cube."""
    loss_on: Literal["patch", "masked"] = "patch"
    """Squared error over the whole view (FOMO25's baseline), or over hidden voxels alone."""
    spatial: SpatialConfig = SpatialConfig(affine=0.3, rotation_deg=30.0)
    """Undergone by view and target."""
    intensity: IntensityConfig = IntensityConfig()
    """Undergone by the view alone: the net must undo it."""

    def check(self, network: NetworkConfig) -> None:
        """Also: the cubes fill the view."""
        super().check(network)
        multiple_of(self.mask_unit_voxels, "mask unit", self.patch_voxels, self.kind)


ObjectiveConfig: TypeAlias = Annotated[
    MaeConfig
    | SimclrConfig
    | MocoConfig
    | VicregConfig
    | VocoConfig
    | HybridConfig
    | SubjectSequenceConfig
    | DinoConfig
    | JepaConfig
    | CuriaConfig,
    Field(discriminator="kind"),
]  # fmt: skip
"""Any objective, told apart by ``kind``."""
