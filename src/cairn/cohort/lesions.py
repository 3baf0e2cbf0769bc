"""Findings: infarcts and what resembles them, white-matter disease, microbleeds, meningiomas of two grades.

Places are given in the brain's box (0 to 1 from left, back, below), so that they hold for any donor unregistered.
Every finding is a soft map; `cairn.cohort.signal` says how it looks on each sequence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from cairn.cohort.anatomy import CSF, DGM, GM, WM, Anatomy, Frame, ageing
from cairn.cohort.draws import stream
from cairn.cohort.fields import noise, smooth, step
from cairn.cohort.plan import TumourSite, Visit

Range = tuple[float, float]


@dataclass(frozen=True)
class Territory:
    """A vascular territory as an ellipsoid: how often, lateral offset from the midline, place, half axes."""

    share: float
    lateral: Range
    back_front: Range
    below_above: Range
    half_axes: tuple[float, float, float]
    size: Range = (0.6, 1.15)


TERRITORIES = {
    "mca": Territory(0.20, (0.30, 0.32), (0.53, 0.57), (0.53, 0.57), (0.17, 0.24, 0.20)),
    "mca-branch": Territory(0.30, (0.26, 0.38), (0.35, 0.75), (0.45, 0.75), (0.08, 0.09, 0.10)),
    "lacune": Territory(0.22, (0.12, 0.20), (0.42, 0.62), (0.45, 0.66), (0.035, 0.032, 0.045), (0.9, 1.4)),
    "pca": Territory(0.11, (0.12, 0.14), (0.12, 0.16), (0.48, 0.52), (0.10, 0.14, 0.10)),
    "aca": Territory(0.06, (0.04, 0.06), (0.70, 0.74), (0.76, 0.80), (0.06, 0.18, 0.13)),
    "cerebellar": Territory(0.11, (0.18, 0.22), (0.18, 0.22), (0.18, 0.22), (0.12, 0.10, 0.08)),
}
MENINGIOMAS: dict[
    TumourSite, tuple[Range, Range, Range]
] = {  # dural sites: lateral offset, back to front, below to above
    "convexity": ((0.38, 0.42), (0.30, 0.75), (0.60, 0.85)),
    "parafalcine": ((0.00, 0.01), (0.30, 0.80), (0.75, 0.90)),
    "sphenoid": ((0.31, 0.35), (0.66, 0.70), (0.34, 0.38)),
    "frontal": ((0.12, 0.18), (0.93, 0.97), (0.50, 0.65)),
}
FALX = "parafalcine"
RADIUS_MM: Range = (8.0, 22.0)
RAGGED_EDGE = 2.6  # factor on the border's irregularity at high grade
MASS_EFFECT = 0.85  # share of the tumour's volume by which shells around it grow at its edge


@dataclass(frozen=True)
class Tumour:
    """A meningioma before tissue is moved: centre and radii as a distance field, and the soft ball itself."""

    distance_mm: torch.Tensor
    radius_mm: float
    inside: torch.Tensor
    depth_mm: torch.Tensor
    high_grade: bool = False


def white_matter_load(visit: Visit) -> float:
    """How much of its white-matter disease a subject has, 0 to 0.8: more with age, with a wide spread."""
    return min(0.8, float(stream(*visit.draw("wmh")).gamma(2, 0.38)) * max(0.0, ageing(visit.age_years) - 0.2))


def add_white_matter_disease(anatomy: Anatomy, visit: Visit) -> None:
    """White-matter hyperintensities: caps and halo of the ventricles, and deep spots, more with age."""
    load = white_matter_load(visit)
    if load < 0.03:
        return
    rough = anatomy.field(visit, "wmh-rough", 5) + 0.5 * anatomy.field(visit, "wmh-fine", 2.5)
    halo = torch.exp(-(((anatomy.ventricle_mm - 1.5).clamp(min=0) / (1.5 + 4 * load)) ** 2))
    caps = step(2.2 * halo + 0.4 * rough - 2.0 + 0.9 * load, 0.25) * (anatomy.ventricle_mm < 22)
    spots = step(rough - 3.0 + 0.5 * load, 0.17) * (anatomy.ventricle_mm > 5) * (anatomy.depth_mm > 6)
    anatomy.overlays["wmh"] = (caps + spots).clamp(0, 1) * anatomy.fractions[WM] * (anatomy.ventricle_mm > -1)


def add_vessels(anatomy: Anatomy, visit: Visit) -> None:
    """Veins (thin filaments where two random fields vanish) and, now and then, microbleeds, for SWI and T2*."""
    one, two = anatomy.field(visit, "veins-1", 9), anatomy.field(visit, "veins-2", 9)
    anatomy.overlays["veins"] = torch.exp(-((one / 0.17) ** 2 + (two / 0.17) ** 2)) * anatomy.brain
    rng = stream(*visit.draw("microbleeds"))
    likely = 0.6 if visit.finding == "mimic" else 0.05 + 0.3 * max(0.0, anatomy.ageing)
    if rng.random() < likely:
        spots = step(anatomy.field(visit, "bleeds", 2.5) - 3.7, 0.12)
        anatomy.overlays["microbleeds"] = spots * (anatomy.fractions[WM] + anatomy.fractions[DGM])


def add_infarct(anatomy: Anatomy, visit: Visit) -> None:
    """An acute infarct in one vascular territory."""
    anatomy.overlays["infarct"] = in_territory(anatomy, visit, "infarct", tuple(TERRITORIES))


def add_mimic(anatomy: Anatomy, visit: Visit) -> None:
    """What resembles an infarct and is none: T2 shine-through, an old infarct, or both; places as for infarcts."""
    kind = str(stream(*visit.draw("mimic")).choice(["shine-through", "old", "both"], p=[0.6, 0.2, 0.2]))
    if kind != "old":
        places = ("mca-branch", "lacune", "cerebellar", "pca")
        anatomy.overlays["shine-through"] = in_territory(anatomy, visit, "shine-through", places)
    if kind != "shine-through":
        scar = in_territory(anatomy, visit, "old", ("mca-branch", "lacune", "pca"))
        hole = step(scar - 0.75, 0.1) * scar
        for tissue in (GM, DGM, WM):
            moved = hole * anatomy.fractions[tissue]
            anatomy.fractions[tissue] -= moved
            anatomy.fractions[CSF] += moved
        anatomy.residual = anatomy.residual * (1 - hole)
        anatomy.overlays["gliosis"] = (scar - hole).clamp(0, 1)


def in_territory(
    anatomy: Anatomy, visit: Visit, purpose: str, names: tuple[str, ...],
    territories: Mapping[str, Territory] = TERRITORIES, side: float | None = None,
) -> torch.Tensor:  # fmt: skip
    """A ragged blob in one of the territories, confined to brain tissue of one hemisphere (left -1, right 1)."""
    rng = stream(*visit.draw(purpose))
    weight = np.array([territories[n].share for n in names])
    t = territories[names[int(rng.choice(len(names), p=weight / weight.sum()))]]
    drawn = float(rng.choice([-1.0, 1.0]))
    side = drawn if side is None else side
    centre = (0.5 + side * rng.uniform(*t.lateral), rng.uniform(*t.back_front), rng.uniform(*t.below_above))
    size = float(rng.uniform(*t.size))
    axes = [a * size for a in t.half_axes]
    e = torch.sqrt(sum(((anatomy.box[k] - centre[k]) / axes[k]) ** 2 for k in range(3)))
    small = min(t.half_axes) < 0.05
    ragged = 0.22 * anatomy.field(visit, f"{purpose}-1", 11) + 0.14 * anatomy.field(visit, f"{purpose}-2", 4.5)
    e = e + ragged * (0.3 if small else 1.0)
    tissue = anatomy.fractions[GM] + anatomy.fractions[DGM] + anatomy.fractions[WM]
    hemisphere = step(side * (anatomy.box[0] - 0.5), 1 / 120)
    return step(1 - e, 0.22 if small else 0.11) * tissue.clamp(0, 1) * hemisphere


def place_meningioma(frame: Frame, visit: Visit, voxel_mm: float) -> tuple[Frame, Tumour]:
    """Seat a tumour on the dura and let the brain give way; the frame's points move, the dura does not.

    The brain's shells move outwards so that volume is kept (radius³ grows by a share of the tumour's), fading towards
    the dura.
    """
    rng = stream(*visit.draw("meningioma"))
    depth = frame.pick(frame.donor.maps[-1:])[0]
    box = frame.box
    drawn = list(MENINGIOMAS)[int(rng.integers(len(MENINGIOMAS)))]
    case = visit.case
    name = drawn if case is None or case.tumour_site is None else case.tumour_site
    high_grade = case is not None and case.high_grade
    lateral, *rest = MENINGIOMAS[name]
    side = float(rng.choice([-1, 1]))
    goal = (0.5 + side * rng.uniform(*lateral), *(rng.uniform(*r) for r in rest))
    off_dura = 9.0 * (depth < 0.5) + (2.0 * (depth > 4) if name != FALX else 0.0)
    cost = sum((box[k] - goal[k]) ** 2 for k in range(3)) + off_dura
    seat = np.unravel_index(int(torch.as_tensor(cost).argmin()), depth.shape)
    radius = float(rng.uniform(*RADIUS_MM))
    inward = torch.stack([torch.gradient(smooth(depth, 2 / voxel_mm), dim=k)[0][seat] for k in range(3)])
    if name == FALX:  # the falx is dura that no brain mask shows: the tumour hangs on it, to one side
        inward = torch.tensor([side, 0.0, 0.0])
    inward = inward / (inward.norm() + 1e-6)
    axes = [torch.arange(n, dtype=torch.float32) * voxel_mm for n in depth.shape]
    away = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    centre = torch.tensor([float(axes[k][seat[k]]) for k in range(3)]) + inward * radius * (
        0.8 if name == FALX else 0.5
    )
    away = away - centre.view(3, 1, 1, 1)
    stretch = torch.tensor(rng.uniform(0.85, 1.2, 3), dtype=torch.float32).view(3, 1, 1, 1)
    coarse, fine = 0.09 * (RAGGED_EDGE if high_grade else 1.0), 0.05 * (RAGGED_EDGE if high_grade else 1.0)
    wobble = (
        1
        + coarse * _field(frame, visit, "tumour-1", 9, voxel_mm)
        + fine * _field(frame, visit, "tumour-2", 4, voxel_mm)
    )
    wobble = wobble.clamp(0.45, 1.55) if high_grade else wobble
    distance = (away / stretch).norm(dim=0) / wobble
    origin = (distance.clamp(min=radius) ** 3 - MASS_EFFECT * radius**3).clamp(min=1e-3) ** (1 / 3)
    fade = torch.exp(-(((distance - radius).clamp(min=0) / (1.8 * radius)) ** 2)) * step(depth - 3, 1.2)
    pull = (origin / distance.clamp(min=radius) - 1) * away * fade
    inside = step(radius - distance, 0.4 * voxel_mm) * step(depth - 0.2, 0.5)
    if name == FALX:
        inside = inside * step(side * (box[0] - 0.5), 1 / 160)
    return frame.moved(frame.points_mm + pull), Tumour(distance, radius, inside, depth, high_grade)


def add_meningioma(anatomy: Anatomy, visit: Visit, tumour: Tumour) -> None:
    """Replace tissue by the tumour, with a CSF cleft around it and, often, oedema of the white matter beside it."""
    rng = stream(*visit.draw("oedema"))
    gap = tumour.distance_mm - tumour.radius_mm
    cleft = torch.exp(-(((gap - 0.8) / 0.8) ** 2)) * step(tumour.depth_mm - 2, 0.8) * 0.6
    cleft = cleft * (1 - tumour.inside) * anatomy.fractions[: WM + 1].sum(0)
    anatomy.fractions *= 1 - cleft
    anatomy.fractions[CSF] += cleft
    if rng.random() < (0.95 if tumour.high_grade else 0.6):
        reach = tumour.radius_mm * float(rng.uniform(0.35, 0.9)) * (1.5 if tumour.high_grade else 1.0)
        ragged = 1 + 0.25 * anatomy.field(visit, "oedema-1", 8) + 0.12 * anatomy.field(visit, "oedema-2", 3.5)
        halo = step(reach * ragged - gap, 1.5) * step(gap - 1, 0.5) * (tumour.depth_mm > 2)
        oedema = halo * anatomy.fractions[WM]
        anatomy.overlays["oedema"] = torch.maximum(anatomy.overlays.get("oedema", oedema), oedema)
    anatomy.fractions *= 1 - tumour.inside
    anatomy.residual = anatomy.residual * (1 - tumour.inside)
    anatomy.overlays["meningioma"] = tumour.inside
    if tumour.high_grade:
        anatomy.overlays["necrosis"] = _necrosis(anatomy, visit, tumour)


def _necrosis(anatomy: Anatomy, visit: Visit, tumour: Tumour) -> torch.Tensor:
    """Dead core of a tumour of high grade: ragged, off the border, about a quarter to a half of it."""
    rim = tumour.radius_mm * float(stream(*visit.draw("necrosis")).uniform(0.2, 0.4))
    ragged = 0.22 * tumour.radius_mm * anatomy.field(visit, "necrosis-1", 5)
    return step(tumour.radius_mm - rim - tumour.distance_mm + ragged, 1.0) * tumour.inside


def _field(frame: Frame, visit: Visit, purpose: str, sigma_mm: float, voxel_mm: float) -> torch.Tensor:
    return noise(stream(*visit.draw(purpose)), frame.points_mm.shape[1:], [voxel_mm] * 3, sigma_mm)
