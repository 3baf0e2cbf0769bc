"""Who is scanned where, and with what finding. Cheap: no image, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from cairn.cohort.draws import stream
from cairn.config.cohort import (
    AGES_OF_ROLE,
    BINARY_ROLES,
    GROUP_OF_SPLIT,
    NEEDS_OF_ROLE,
    SEQUENCES_OF_ROLE,
    SEXED_ROLES,
    CohortConfig,
    CohortSet,
    Sequence,
)
from cairn.config.cohort_radiology import RadiologyConfig
from cairn.errors import CairnError

Finding = Literal["none", "infarct", "mimic", "meningioma", "neurovascular", "malformation", "heterotopia", "radiology"]
Haemorrhage = Literal["intraparenchymal", "subdural"]
TumourSite = Literal["convexity", "parafalcine", "sphenoid", "frontal"]
TUMOUR_SITES: tuple[TumourSite, ...] = get_args(TumourSite)
SESSION = "1"
REFERENCE_ORDER: tuple[Sequence, ...] = ("T1w", "FLAIR", "T2w", "SWI", "T2star", "DWI", "ADC", "CT")
MASK_SEQUENCE: Mapping[Finding, Sequence] = {"infarct": "DWI", "meningioma": "FLAIR", "neurovascular": "T2w"}
MASK_LABELS: Mapping[Finding, tuple[str, ...]] = {
    "infarct": ("infarct",), "meningioma": ("meningioma",), "neurovascular": ("nerve", "vessel"),
}  # fmt: skip
"""Overlays that a finding's mask shows as labels 1, 2, …"""
HEAD_BY_SEX = {"F": 0.982, "M": 1.018}
"""Factor on the head's sides, for roles that tell sex: a tenth of volume apart, as large studies find in the mean
(Ruigrok et al. 2014, doi 10.1016/j.neubiorev.2013.12.004), against a spread of 3.5 % a side between people."""
PRETRAIN_FINDINGS: tuple[Finding, ...] = ("none", "none", "none", "none", "infarct", "mimic", "meningioma")
PRETRAIN_WEIGHTS: Mapping[Sequence, float] = {
    "T1w": 4.0, "T2w": 3.0, "FLAIR": 3.0, "DWI": 2.0, "ADC": 1.5, "SWI": 1.5, "T2star": 1.5,
    "CT": 4.0,
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """Several findings in one head (finding ``radiology``), each drawn on its own."""

    haemorrhage: Haemorrhage | None
    infarct: bool
    tumour_site: TumourSite | None
    high_grade: bool


@dataclass(frozen=True)
class Visit:
    """One subject's session: everything that is decided before any image is made."""

    dataset: str
    subject: str
    session: str
    seed: int
    label: int | None
    finding: Finding
    donor: str
    site: str
    age_years: float
    sex: str
    sequences: tuple[Sequence, ...]
    head_scale: float = 1.0
    """Factor on the head's sides that comes with sex."""
    case: Case | None = None
    """What is found, where finding is ``radiology``."""

    @property
    def key(self) -> str:
        """``subject/session``."""
        return f"{self.subject}/{self.session}"

    @property
    def reference(self) -> Sequence:
        """The sequence whose grid carries the brain mask and from whose pose motion is counted."""
        return next(s for s in REFERENCE_ORDER if s in self.sequences)

    def draw(self, *purpose: str) -> tuple[int | str, ...]:
        """Key of the visit's random stream for a purpose."""
        return (self.seed, self.dataset, self.subject, *purpose)


def sessions(spec: CohortSet, dataset: str) -> list[tuple[str, str]]:
    """Subject and session identifiers of a set, sorted. ``dataset`` is named for symmetry; ids are per data set."""
    return [(f"{i:04d}", SESSION) for i in range(spec.size)]


def donors_of(config: CohortConfig, spec: CohortSet) -> tuple[str, ...]:
    """The donors of a set: its own choice, or all of its split's group.

    Raises:
        CairnError: when the set names a donor outside its split's group, for then a head would leak into the test.
    """
    group = GROUP_OF_SPLIT[spec.split]
    allowed = config.donor_groups.get(group, ())
    for donor in spec.donors:
        if donor not in allowed:
            raise CairnError(
                f"Donor '{donor}' is not in the donor group '{group}' that split '{spec.split}' draws from.",
                f"Choose from {', '.join(allowed) or 'an empty group'}, or move the donor between groups.", "leak",
            )  # fmt: skip
    if not (spec.donors or allowed):
        raise CairnError(f"The donor group '{group}' is empty.", "Name donors in 'donor_groups'.", "config")
    return spec.donors or allowed


def check_set(config: CohortConfig, dataset: str, spec: CohortSet) -> None:
    """Refuse a set that names unknown sites, foreign donors, or sequences that none of its sites acquires.

    Raises:
        CairnError: naming the data set and what is wrong.
    """
    donors_of(config, spec)
    wanted = spec.sequences or SEQUENCES_OF_ROLE[spec.role]
    for name in spec.sites:
        if name not in config.sites:
            raise CairnError(f"Data set '{dataset}': unknown site '{name}'.", f"Known: {', '.join(config.sites)}.")
        has = [s for s in wanted if s in config.sites[name].protocols]
        needs = NEEDS_OF_ROLE.get(spec.role, frozenset())
        if not has or not needs <= set(has):
            absent = ", ".join(sorted(needs - set(has)) or wanted)
            raise CairnError(
                f"Data set '{dataset}': site '{name}' does not acquire {absent}.", "Choose other sites or sequences."
            )


def visits(config: CohortConfig, dataset: str, spec: CohortSet) -> list[Visit]:
    """Every visit of a set. A visit depends on its own number and the set's specification, on no other visit."""
    check_set(config, dataset, spec)
    return [_visit(config, dataset, spec, number) for number in range(spec.size)]


def _visit(config: CohortConfig, dataset: str, spec: CohortSet, number: int) -> Visit:
    subject = f"{number:04d}"
    rng = stream(spec.seed, dataset, subject, "visit")
    label, rank = _label(spec, number)
    donor, site = _place(config, dataset, spec, label, rank)
    low, high = spec.age_years or AGES_OF_ROLE[spec.role]
    age = float(rng.uniform(low, high))
    sex = "FM"[int(rng.integers(2))]
    finding: Finding = "none"
    if spec.role == "pretrain":
        finding = PRETRAIN_FINDINGS[int(rng.integers(len(PRETRAIN_FINDINGS)))]
    elif spec.role == "infarct":
        finding = "infarct" if label else ("mimic" if rng.random() < spec.mimics else "none")
    elif spec.role == "malformation":
        finding = "malformation" if label else ("heterotopia" if rng.random() < spec.mimics else "none")
    elif spec.role in ("meningioma", "neurovascular"):
        finding = spec.role
    case = None
    if spec.role == "radiology" or (spec.role == "pretrain" and "CT" in spec.sequences):
        finding, case = "radiology", _case(config.radiology, spec, dataset, subject)
    acquired = [s for s in spec.sequences or SEQUENCES_OF_ROLE[spec.role] if s in config.sites[site].protocols]
    if spec.role == "pretrain":  # a mixed bag: archives rarely hold every sequence
        weight = [PRETRAIN_WEIGHTS[s] for s in acquired]
        count = min(len(acquired), int(rng.integers(1, 5)))
        chosen = rng.choice(len(acquired), count, replace=False, p=[w / sum(weight) for w in weight])
        acquired = [acquired[i] for i in sorted(chosen)]
    scale = HEAD_BY_SEX[sex] if spec.role in SEXED_ROLES else 1.0
    return Visit(
        dataset, subject, SESSION, spec.seed, label, finding, donor, site, age, sex, tuple(acquired), scale, case
    )


def _case(shares: RadiologyConfig, spec: CohortSet, dataset: str, subject: str) -> Case:
    """Independent findings; each from a stream of its own, so that no share changes another finding's draw."""

    def chance(name: str) -> float:
        return float(stream(spec.seed, dataset, subject, "case", name).random())

    kind: Haemorrhage = "subdural" if chance("subdural") < shares.subdural else "intraparenchymal"
    site = TUMOUR_SITES[int(chance("tumour-site") * len(TUMOUR_SITES))]
    return Case(
        haemorrhage=kind if chance("haemorrhage") < shares.haemorrhage else None,
        infarct=chance("infarct") < shares.infarct,
        tumour_site=site if chance("tumour") < shares.tumour else None,
        high_grade=chance("tumour-grade") < shares.high_grade,
    )


def _label(spec: CohortSet, number: int) -> tuple[int | None, int]:
    """Label of a subject and the subject's rank among those of the same label; labels are spread evenly."""
    if spec.role not in BINARY_ROLES:
        return None, number
    before, after = (n * spec.positives // spec.size for n in (number, number + 1))
    return (1, before) if after > before else (0, number - before)


def _place(config: CohortConfig, dataset: str, spec: CohortSet, label: int | None, rank: int) -> tuple[str, str]:
    """Donor and site: every combination comes once, in an order of its own, before any comes twice.

    So neither donor nor site tells the label.
    """
    pairs = [(donor, site) for donor in donors_of(config, spec) for site in spec.sites]
    turn, place = divmod(rank, len(pairs))
    order = stream(spec.seed, dataset, "place", str(label), turn).permutation(len(pairs))
    return pairs[int(order[place])]
