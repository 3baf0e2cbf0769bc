"""Configuration of preprocessing."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from cairn.config.base import Section
from cairn.config.guard import GuardConfig


class StripConfig(Section):
    """How the brain is found in the reference scan."""

    method: Literal["deepbet", "template", "given", "none"] = "deepbet"
    """deepbet: packaged weights. template: the template's mask carried back by registration, then refined by intensity.
    given: a mask file beside the data set. none: nothing is taken away, faces included; the mask is what is not air.
    Then no template is asked for, and ``grid.align`` must be none."""

    effort: Literal["quick", "balanced", "full"] = "quick"
    """deepbet only. quick: the box network alone, half a second a head; balanced: the brain network at 192^3, two
    seconds; full: at 256^3, as published, five seconds."""

    given_pattern: str = "derivatives/masks/sub-{subject}_ses-{session}_mask.nii.gz"
    """given only: path of a session's mask below the data set's root, on the grid of the reference scan; ``{subject}``,
    ``{session}`` and ``{sequence}`` are replaced."""

    keep_stripped: bool = True
    """A scan that comes skull-stripped (most of it exactly 0, the rest of a brain's size) keeps its own outline."""

    template_transform: Literal["affine", "syn"] = "affine"
    """template only: syn follows the individual's outline better and costs about ten times as much."""


class N4Config(Section):
    """N4 bias field correction (Tustison et al. 2010): estimated coarsely, divided out after the one interpolation."""

    enabled: bool = False
    """Correct every sequence."""

    spacing_mm: float = Field(default=4.0, gt=0, le=10)
    """Spacing at which the field is estimated; it is smooth."""

    iterations: tuple[int, ...] = (50, 50, 30)
    """Iterations per fitting level."""


class RegistrationConfig(Section):
    """Linear registration with ANTs, mutual information, one thread, seeded."""

    spacing_mm: float = Field(default=2.0, gt=0, le=10)
    """Spacing at which between-sequence rigid transforms are estimated; finer axes are averaged to about this."""

    template_spacing_mm: float = Field(default=4.0, gt=0, le=10)
    """Spacing at which the affine to the template is estimated."""

    samples: int = Field(default=15_000, ge=1000)
    """Voxels that the metric looks at, between sequences; four times as many where heads are not stripped."""

    margin_mm: float = Field(default=10.0, ge=0)
    """The metric sees the brain's box with this margin: the neck moves by itself, and costs time."""

    retry_below: float = Field(default=1.005, ge=1, le=2)
    """Normalised mutual information (1 to 2) inside the brain under which wider searches are tried; the best is kept.
    Right fits of the embedded cohort have 1.007 (SWI on FLAIR, 6 mm slices) to 1.14 (ADC on DWI)."""

    seed: int = 1
    """Seed of the metric's sampling."""


class GridConfig(Section):
    """The session's common grid."""

    spacing_mm: float = Field(default=2.0, gt=0.3, le=8)
    """Isotropic voxel size."""

    align: Literal["rigid", "affine", "none"] = "rigid"
    """rigid: turned and moved onto the template, sizes stay true. affine: sizes are the template's too. none: the
    reference scan's world axes, centred on its brain."""

    box_mm: tuple[float, float, float] = (160.0, 192.0, 160.0)
    """Least extent (left-right, back-front, down-up). The default holds an adult brain and gives 160x192x160 voxels at
    1 mm, 80x96x80 at 2, 64x80x64 at 2.5, 64x64x64 at 3."""

    multiple: int = Field(default=16, ge=1)
    """Every side is rounded up to a multiple of this many voxels, which networks halve."""

    order: Literal[1, 3] = 1
    """Interpolation: 1 trilinear, 3 cubic spline (sharper, dearer)."""


class NormaliseConfig(Section):
    """Intensities, inside the brain."""

    method: Literal["zscore", "none"] = "zscore"
    """zscore: clipped, zero mean and unit scale inside the mask, 0 outside. none: raw values, Hounsfield units where
    the scan has them; a shard keeps them as float16, exact to 2048, beyond that to 1 part in 2048."""

    clip_percent: tuple[float, float] = (0.1, 99.9)
    """Percentiles of the brain that values are clipped to. Narrow limits flatten small bright lesions: 0.1 % of a brain
    is 1.4 ml."""


class UnknownSequences(Section):
    """What becomes of scans whose name does not tell their sequence (docs/reference/unknown-sequences.md)."""

    method: Literal["leave", "classify"] = "leave"
    """leave: they stay ``unknown``. classify: a small model, trained on heads of the embedded cohort, looks at the
    scan; what it is sure of takes that sequence's name, the rest stays ``unknown``. Nothing is trained where no real
    data set has such a scan."""

    confidence_min: float = Field(default=0.9, ge=0.5, le=1)
    """Least calibrated probability that is believed. A change classifies again and trains nothing."""

    heads: int = Field(default=8, ge=2, le=99)
    """Heads that are made of each donor to train the model, each under a scanner drawn at random."""

    voxel_mm: float = Field(default=2.0, ge=0.8, le=4)
    """Voxel size of these heads' tissue maps."""


class PreprocessConfig(Section):
    """From raw scans to tensors, the same for pretraining, fine-tuning and inference: nothing here knows a task."""

    reference_order: tuple[str, ...] = ("T1w", "T1c", "FLAIR", "T2w", "PD", "T2star", "SWI", "DWI", "ADC")
    """The session's first readable sequence of this list is the reference; others follow in alphabetical order."""

    strip: StripConfig = StripConfig()
    """Skull stripping."""

    n4: N4Config = N4Config()
    """Bias field correction."""

    registration: RegistrationConfig = RegistrationConfig()
    """Registration."""

    grid: GridConfig = GridConfig()
    """The common grid."""

    normalise: NormaliseConfig = NormaliseConfig()
    """Intensities."""

    unknown_sequences: UnknownSequences = UnknownSequences()
    """Scans of unknown sequence."""

    figure_rim_mm: float = Field(default=0.0, ge=0, le=5)
    """QC figures show the brain and this much around it. 0 shows no face; a rim shows what the mask misses."""

    guard: GuardConfig = GuardConfig()
    """What a scan may be at all."""

    max_bad_share: float = Field(default=0.5, ge=0, le=1)
    """A data set is refused when more than this share of a shard's scans is quarantined."""

    @model_validator(mode="after")
    def _consistent(self) -> PreprocessConfig:
        if self.strip.method == "none" and self.grid.align != "none":
            raise ValueError("strip.method none finds no brain to bring onto the template: set grid.align to none")
        if self.normalise.method == "none" and self.n4.enabled:
            raise ValueError("normalise.method none keeps raw values: set n4.enabled to false")
        return self
