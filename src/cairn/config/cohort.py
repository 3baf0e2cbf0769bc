"""The embedded cohort: which packages, donors, sites and sets it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Annotated, Literal

from pydantic import Field, model_validator

from cairn.config.base import S, Section
from cairn.config.cohort_radiology import RadiologyConfig
from cairn.config.cohort_tables import DONOR_GROUPS, DONORS, PACKAGES, SITES
from cairn.config.packages import Package

Sequence = Literal["T1w", "T2w", "FLAIR", "DWI", "ADC", "SWI", "T2star", "CT"]
Role = Literal["pretrain", "infarct", "meningioma", "age", "neurovascular", "malformation", "population", "radiology"]
Split = Literal["pretrain", "finetune", "indomain", "test"]
Group = Literal["train", "indomain", "test"]

GROUP_OF_SPLIT: Mapping[Split, Group] = {
    "pretrain": "train", "finetune": "train", "indomain": "indomain", "test": "test",
}  # fmt: skip
SEQUENCES_OF_ROLE: Mapping[Role, tuple[Sequence, ...]] = {
    "pretrain": ("T1w", "T2w", "FLAIR", "DWI", "ADC", "SWI", "T2star"),
    "infarct": ("FLAIR", "DWI", "ADC", "SWI", "T2star"),
    "meningioma": ("FLAIR", "DWI", "SWI", "T2star"),
    "age": ("T1w", "T2w"),
    "neurovascular": ("T2w",),
    "malformation": ("T1w",),
    "population": ("T1w", "T2w"),
    "radiology": ("CT", "T1w", "FLAIR"),
}
NEEDS_OF_ROLE: Mapping[Role, frozenset[Sequence]] = {
    "infarct": frozenset({"DWI", "ADC"}), "meningioma": frozenset({"FLAIR"}), "neurovascular": frozenset({"T2w"}),
    "malformation": frozenset({"T1w"}), "radiology": frozenset({"CT", "T1w"}),
}  # fmt: skip
BINARY_ROLES: tuple[Role, ...] = ("infarct", "malformation")
"""Roles whose sets have positives and negatives."""
SEXED_ROLES: tuple[Role, ...] = ("neurovascular", "malformation", "population", "radiology")
"""Roles in which sex changes the size of the head."""
FINE_MM: Mapping[Role, Mapping[Sequence, float]] = {"neurovascular": {"T2w": 0.7}}
"""Voxel size of the isotropic sequences that a role takes finer than its sites' habit, before ``coarsen``."""
AGES_OF_ROLE: Mapping[Role, tuple[float, float]] = {
    "pretrain": (20.0, 90.0), "infarct": (45.0, 90.0), "meningioma": (35.0, 85.0), "age": (20.0, 90.0),
    "neurovascular": (35.0, 80.0), "malformation": (18.0, 60.0), "population": (20.0, 90.0),
    "radiology": (25.0, 90.0),
}  # fmt: skip


class DonorSource(Section):
    """Where a donor head lies inside a package."""

    package: str
    """Name in ``packages``."""
    image: str
    """Member of the archive that holds the T1-weighted head; ``*`` matches any text."""
    mask: str | None = None
    """Member that holds a brain mask on the same grid; without one the mask comes from deepbet alone."""
    average: bool = False
    """True for a population average, false for one person's scan."""
    plain_scalp: bool = False
    """Give the head a plain skull and scalp above the ears, because the field of view cuts its own."""


class Protocol(Section):
    """How a site acquires one sequence."""

    in_plane_mm: Annotated[float, Field(ge=0.3, le=4)] = 0.9
    """Voxel size in the slice plane, before ``coarsen``."""
    slice_mm: Annotated[float, Field(ge=0.3, le=10)] = 5.0
    """Slice thickness, over which the signal is averaged."""
    gap_mm: Annotated[float, Field(ge=0, le=5)] = 0.0
    """Gap between slices; the voxel size along the slice axis is ``slice_mm + gap_mm``."""
    orientation: Annotated[str, Field(pattern="^[RLAPSI]{3}$")] = "LPS"
    """Direction in which each voxel axis counts up (nibabel's code, before obliquity). The slice axis is the third."""


class Site(Section):
    """A scanner and its habits."""

    scanner: str
    """What it is, in words."""
    protocols: Mapping[Sequence, Protocol]
    """Sequences that the site acquires."""
    noise: Annotated[float, Field(ge=0, le=0.2)] = 0.015
    """Standard deviation of Rician noise, as a share of the white-matter signal at 1 mm³."""
    bias: Annotated[float, Field(ge=0, le=0.6)] = 0.1
    """Standard deviation of the logarithm of the bias field."""
    contrast: Annotated[float, Field(ge=0, le=0.4)] = 0.06
    """Spread of the site's fixed departure from textbook contrast (logarithm of each tissue's signal)."""
    jitter: Annotated[float, Field(ge=0, le=0.2)] = 0.03
    """The same spread from subject to subject."""
    gain: Annotated[float, Field(gt=0, le=5000)] = 800.0
    """Stored value of unit signal. ADC (1e-6 mm²/s) and CT (HU) are quantitative and have none."""
    ct_noise_hu: Annotated[float, Field(ge=0, le=30)] = 3.5
    """Standard deviation of CT noise in slices of 5 mm, in HU; thinner slices have more, by the square root."""
    oblique_deg: Annotated[float, Field(ge=0, le=25)] = 6.0
    """Largest tilt of a scan's axes against the scanner's, per axis."""
    motion_deg: Annotated[float, Field(ge=0, le=5)] = 0.8
    """Standard deviation of patient rotation between sequences, per axis."""
    motion_mm: Annotated[float, Field(ge=0, le=8)] = 1.2
    """Standard deviation of patient shift between sequences, per axis."""
    epi_distortion_mm: Annotated[float, Field(ge=0, le=8)] = 1.0
    """Largest local displacement of echo-planar scans (DWI, ADC) above the sinuses, along the phase axis."""
    release: Literal["full", "defaced", "tight"] = "full"
    """What leaves the site: full heads, heads with the face removed, or a field of view tight around the brain."""


class CohortSet(Section):
    """One data set of the embedded cohort."""

    role: Role
    """What the set is for; decides findings, labels and default sequences."""
    split: Split
    """Use of the set; decides the donor group (pretrain and finetune share one)."""
    subjects: Annotated[int, Field(ge=0, le=9999)] = 0
    """Number of subjects (all roles but infarct and malformation)."""
    positives: Annotated[int, Field(ge=0, le=9999)] = 0
    """Subjects with the finding (infarct, malformation)."""
    negatives: Annotated[int, Field(ge=0, le=9999)] = 0
    """Subjects without it (infarct, malformation)."""
    sites: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names in the site table; subjects are spread evenly over sites and donors."""
    donors: tuple[str, ...] = ()
    """Donors to use, all of the split's group by default."""
    sequences: tuple[Sequence, ...] = ()
    """Sequences to acquire where the site has them; the role's by default."""
    age_years: tuple[float, float] | None = None
    """Youngest and oldest subject; the role's range by default."""
    mimics: Annotated[float, Field(ge=0, le=1)] = 0.6
    """Share of the negatives who carry what resembles the finding (infarct, malformation)."""
    seed: int = 0
    """Seed of the set; with the set's name and the subject it decides every voxel."""

    @model_validator(mode="after")
    def _counts(self) -> CohortSet:
        if self.role in BINARY_ROLES and (self.subjects or not self.positives + self.negatives):
            raise ValueError(f"a set of role '{self.role}' gives 'positives' and 'negatives' instead of 'subjects'")
        if self.role not in BINARY_ROLES and (self.positives or self.negatives or not self.subjects):
            raise ValueError(f"a set of role '{self.role}' gives 'subjects', not 'positives' and 'negatives'")
        if self.age_years is not None and not 18 <= self.age_years[0] < self.age_years[1] <= 100:
            raise ValueError("'age_years' is [youngest, oldest] within 18 and 100")
        return self

    def protocol(self, sequence: Sequence, habit: Protocol) -> Protocol:
        """How this set takes a sequence at a site of that habit."""
        fine = FINE_MM.get(self.role, {}).get(sequence)
        return (
            habit if fine is None else habit.model_copy(update={"in_plane_mm": fine, "slice_mm": fine, "gap_mm": 0.0})
        )

    @property
    def size(self) -> int:
        """Number of subjects."""
        return self.subjects or self.positives + self.negatives


class CohortConfig(Section):
    """The embedded cohort: what all its sets share."""

    voxel_mm: Annotated[float, Field(ge=0.8, le=4)] = 1.0
    """Voxel size of a subject's tissue map, from which every scan is sampled."""
    donor_mm: Annotated[float, Field(ge=0.8, le=4)] = 1.0
    """Voxel size at which donors are stored."""
    coarsen: Annotated[float, Field(ge=1, le=4)] = 1.0
    """Factor on every protocol's in-plane voxel size; slices stay, but never thinner than the plane's voxels."""
    packages: Mapping[str, Package] = Field(default_factory=lambda: _of(Package, PACKAGES))
    """Pinned archives by package name."""
    donors: Mapping[str, DonorSource] = Field(default_factory=lambda: _of(DonorSource, DONORS))
    """Donor heads by name."""
    donor_groups: Mapping[Group, tuple[str, ...]] = Field(default_factory=lambda: dict(DONOR_GROUPS))
    """Who appears where: no donor is in two groups, so that no head is in training and test."""
    sites: Mapping[str, Site] = Field(default_factory=lambda: _of(Site, SITES))
    """Scanners by name."""
    radiology: RadiologyConfig = RadiologyConfig()
    """Findings and outcome of the role ``radiology``."""

    @model_validator(mode="after")
    def _agree(self) -> CohortConfig:
        for one, two in combinations(self.donor_groups, 2):
            shared = sorted(set(self.donor_groups[one]) & set(self.donor_groups[two]))
            if shared:
                raise ValueError(f"donor '{shared[0]}' is in the donor groups '{one}' and '{two}': a head would leak")
        for donor in (d for group in self.donor_groups.values() for d in group):
            if donor not in self.donors:
                raise ValueError(f"donor group names '{donor}', which 'donors' lacks")
        for name, donor_source in self.donors.items():
            if donor_source.package not in self.packages:
                raise ValueError(f"donor '{name}' comes from package '{donor_source.package}', which 'packages' lacks")
        return self


class CohortJob(Section):
    """What one shard's job is given: the cohort and the set."""

    cohort: CohortConfig
    """What all sets share."""
    set: CohortSet
    """The set to make."""


def _of(section: type[S], table: Mapping[str, Mapping[str, object]]) -> dict[str, S]:
    return {name: section.model_validate(row) for name, row in table.items()}
