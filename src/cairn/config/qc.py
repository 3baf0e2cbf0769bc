"""Limits of the quality flags. The stage ``qc`` applies them, so that a change of a limit preprocesses nothing."""

from __future__ import annotations

from cairn.config.base import Section


class QcConfig(Section):
    """Limits beyond which a session is flagged. A flag asks a person to look; it removes nothing."""

    brain_ml: tuple[float, float] = (850.0, 2100.0)
    """Brain volume, with ventricles and cerebellum."""

    template_dice_min: float = 0.88
    """Dice of the brain, carried to the template by the affine, with the template's brain."""

    scale: tuple[float, float] = (0.75, 1.3)
    """Scales of the affine to the template along its principal axes."""

    registration_min: float = 1.005
    """Normalised mutual information of a sequence with the reference inside the brain."""

    motion_max_mm: float = 15.0
    """Movement between sequences at the brain's centre."""

    motion_max_degrees: float = 15.0
    """Rotation between sequences."""

    mirror_gain_max: float = 0.0015
    """Left-right flip: gain in normalised mutual information when the sequence is mirrored and registered again. On the
    embedded cohort true scans have at most 0.0004 (heads that are averages of many), flipped ones 0.0016 to 0.1."""

    coverage_min: float = 0.95
    """Share of the brain that lies in a sequence's field of view."""

    cut_max: float = 0.01
    """Share of the brain's surface that lies on the border of the reference's field of view."""

    outside_grid_max: float = 0.002
    """Share of the brain outside the grid."""

    blank_slices_max: int = 0
    """Slices through the brain in which a sequence is constant."""

    saturated_max: float = 0.02
    """Share of the brain at a sequence's greatest value."""

    zeros_max: float = 0.05
    """Share of the brain at exactly 0."""

    levels_min: int = 64
    """Different values inside the brain."""

    dice_min: float = 0.9
    """Embedded cohort: least Dice of a brain mask with the truth."""

    motion_error_mm: float = 1.0
    """Embedded cohort: greatest error of a recovered movement at the brain's centre."""

    motion_error_degrees: float = 1.0
    """Embedded cohort: greatest error of a recovered rotation."""
