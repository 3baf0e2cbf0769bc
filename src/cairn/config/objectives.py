"""Self-supervised objectives: one section a kind."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field

from cairn.config.augment import IntensityConfig, SpatialConfig
from cairn.config.base import Section


class MaeConfig(Section):
    """Masked autoencoding as in AMAES (Munk et al. 2024): the net fills hidden cubes in and undoes the augmentation."""

    kind: Literal["mae"] = "mae"
    """The objective."""
    patch_voxels: tuple[int, int, int] = (48, 48, 48)
    """Size of a view; a multiple of the network's stride along each axis."""
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


ObjectiveConfig: TypeAlias = MaeConfig
"""Any objective. With a second kind this becomes a union told apart by ``kind``."""
