"""Augmentation: how often and how strongly a view is changed."""

from __future__ import annotations

from pydantic import Field

from cairn.config.base import Section


class SpatialConfig(Section):
    """Changes of place, which a target undergoes too."""

    flip: float = Field(default=0.5, ge=0, le=1)
    """Probability of a left-right flip."""
    affine: float = Field(default=0.2, ge=0, le=1)
    """Probability of a rotation with scaling (FOMO25's baseline: 0.2)."""
    rotation_deg: float = Field(default=15.0, ge=0, le=180)
    """Largest rotation about each axis."""
    scale: float = Field(default=0.1, ge=0, lt=1)
    """Largest relative change of size."""


class IntensityConfig(Section):
    """Changes of intensity inside the brain, of one scan; background stays 0. Probabilities, each on its own."""

    noise: float = Field(default=0.33, ge=0, le=1)
    """Additive Gaussian noise."""
    noise_std: float = Field(default=0.3, ge=0)
    """Largest standard deviation of the noise (the brain's own is 1)."""
    blur: float = Field(default=0.2, ge=0, le=1)
    """Gaussian blur."""
    blur_voxels: float = Field(default=1.0, gt=0)
    """Largest standard deviation of the blur."""
    bias: float = Field(default=0.33, ge=0, le=1)
    """Multiplicative bias field."""
    bias_strength: float = Field(default=0.4, ge=0)
    """Standard deviation of the field's logarithm at its nodes."""
    gamma: float = Field(default=0.33, ge=0, le=1)
    """Gamma, from 0.6 to 1.6."""
    contrast: float = Field(default=0.33, ge=0, le=1)
    """Scale by 0.7 to 1.3 and shift by up to 0.3."""
    low_resolution: float = Field(default=0.2, ge=0, le=1)
    """Slices of 2 to 3 voxels along one axis."""
    gibbs: float = Field(default=0.1, ge=0, le=1)
    """Ringing: the spectrum is cut along one axis."""
    ghosting: float = Field(default=0.1, ge=0, le=1)
    """Ghosts along one axis, as from motion."""
