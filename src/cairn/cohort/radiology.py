"""A head as a radiology department sees it: several findings at once, what is told of them, and what became of it."""

from __future__ import annotations

import numpy as np
import torch

from cairn.cohort import haemorrhage, lesions
from cairn.cohort.anatomy import Anatomy, Frame, atrophy, fill
from cairn.cohort.draws import stream
from cairn.cohort.plan import Case, Visit
from cairn.config.cohort_radiology import RadiologyConfig, SurvivalConfig

OVERLAYS = {"haemorrhage": "haemorrhage", "infarct": "infarct", "tumour": "meningioma"}
"""Overlay of each finding that has a mask."""
LEAST_ML = 0.1  # what others leave less of is not there
FINDINGS = ("haemorrhage", "infarct", "tumour", "white_matter_disease", "atrophy")


def make_case(frame: Frame, case: Case, visit: Visit, voxel_mm: float) -> Anatomy:
    """The tissue map of a subject with several findings.

    What pushes (tumour, subdural blood) moves tissue before the map is filled. Infarct and haemorrhage lie in opposite
    hemispheres, so that neither hides the other; a tumour takes its place from all.
    """
    moved, tumour, subdural = frame, None, None
    if case.tumour_site is not None:
        moved, tumour = lesions.place_meningioma(frame, visit, voxel_mm)
    side = float(stream(*visit.draw("haemorrhage-side")).choice([-1.0, 1.0]))
    if case.haemorrhage == "subdural":
        shift, subdural = haemorrhage.place_subdural(frame, visit, voxel_mm, side)
        moved = moved.moved(moved.points_mm + shift)
    anatomy = fill(moved, visit, voxel_mm)
    lesions.add_white_matter_disease(anatomy, visit)
    lesions.add_vessels(anatomy, visit)
    if case.infarct:
        anatomy.overlays["infarct"] = lesions.in_territory(
            anatomy, visit, "infarct", tuple(lesions.TERRITORIES), side=-side
        )
    if subdural is not None:
        anatomy.depth_mm = subdural.depth_mm  # the dura has not moved, though the brain has
        haemorrhage.fill_with(anatomy, "haemorrhage", subdural.inside)
    elif case.haemorrhage is not None:
        haemorrhage.add_haematoma(anatomy, visit, side)
    if tumour is not None:
        haemorrhage.cover(anatomy, tumour.inside)
        lesions.add_meningioma(anatomy, visit, tumour)
    for name in OVERLAYS.values():
        if name in anatomy.overlays and anatomy.ml(anatomy.overlays[name]) < LEAST_ML:
            del anatomy.overlays[name]
    return anatomy


def targets(anatomy: Anatomy, visit: Visit, config: RadiologyConfig) -> dict[str, int | float | str | None]:
    """What is true of a case: findings (0 or 1), tumour site and grade, age in years, and outcome.

    Findings with a mask are read off the map, so that they agree with it; white-matter disease and atrophy are told
    from a degree that age and chance decide, whatever the donor. ``time_years`` and ``event`` are those of a subject
    with a tumour, else ``None``.
    """
    case = visit.case
    assert case is not None, "only a case has targets"
    found: dict[str, int | float | str | None] = {
        name: int(overlay in anatomy.overlays) for name, overlay in OVERLAYS.items()
    }
    found["white_matter_disease"] = int(lesions.white_matter_load(visit) >= config.white_matter_load)
    found["atrophy"] = int(atrophy(visit) >= config.atrophy)
    found["haemorrhage_kind"] = case.haemorrhage if found["haemorrhage"] else None
    found["age"] = round(visit.age_years, 2)
    outcome: dict[str, int | float | str | None] = dict.fromkeys(
        ("tumour_site", "tumour_grade", "tumour_ml", "time_years", "event")
    )
    if found["tumour"]:
        ml = anatomy.ml(anatomy.overlays["meningioma"])
        rng = stream(*visit.draw("survival"))
        time, event = survival(config.survival, rng, case.high_grade, ml, visit.age_years)
        outcome = {
            "tumour_site": case.tumour_site, "tumour_grade": int(case.high_grade), "tumour_ml": round(ml, 3),
            "time_years": round(time, 4), "event": int(event),
        }  # fmt: skip
    return {**found, **outcome}


def survival(
    config: SurvivalConfig, rng: np.random.Generator, high_grade: bool, tumour_ml: float, age_years: float
) -> tuple[float, bool]:
    """Years under observation, and whether they ended in the event (else in censoring).

    Source: Bender, Augustin, Blettner, Generating survival times to simulate Cox proportional hazards models,
    Statistics in Medicine 2005.
    """
    eta = (
        config.log_hazard_grade * high_grade
        + config.log_hazard_log_ml * np.log(tumour_ml / config.reference_ml)
        + config.log_hazard_decade * (age_years - config.reference_years) / 10
    )
    time = (rng.exponential() * np.exp(-eta)) ** (1 / config.shape) / config.hazard_per_year
    censored = rng.uniform(*config.censor_years)
    return float(min(time, censored)), bool(time <= censored)


def lesion_maps(anatomy: Anatomy) -> dict[str, torch.Tensor]:
    """Soft map of each finding that is there and has a mask."""
    return {name: anatomy.overlays[overlay] for name, overlay in OVERLAYS.items() if overlay in anatomy.overlays}
