"""The role ``radiology``: how often each finding comes, and the law by which its simulated patients die."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from cairn.config.base import Section

Share = Annotated[float, Field(ge=0, le=1)]


class SurvivalConfig(Section):
    """Survival of subjects with a tumour: Weibull proportional hazards, and independent uniform censoring.

    The hazard at ``t`` years is ``shape * hazard_per_year * (hazard_per_year * t) ** (shape - 1) * exp(eta)`` with
    ``eta = log_hazard_grade * grade + log_hazard_log_ml * log(ml / reference_ml) + log_hazard_decade * (age -
    reference_years) / 10``. The coefficients are known, so that a fit of the simulated outcome can be checked.
    """

    hazard_per_year: Annotated[float, Field(gt=0, le=10)] = 0.12
    """Baseline: the rate at grade 0, the reference volume and the reference age; with ``shape`` 1 it is constant."""
    shape: Annotated[float, Field(gt=0, le=5)] = 1.0
    """Weibull shape; 1 is the exponential law."""
    log_hazard_grade: float = 1.3
    """Logarithm of the hazard ratio of high against low grade."""
    log_hazard_log_ml: float = 0.5
    """Logarithm of the hazard ratio for a tumour e times as large."""
    log_hazard_decade: float = 0.3
    """Logarithm of the hazard ratio for ten years of age."""
    reference_ml: Annotated[float, Field(gt=0)] = 12.0
    """Tumour volume at which the baseline holds."""
    reference_years: Annotated[float, Field(gt=0)] = 60.0
    """Age at which the baseline holds."""
    censor_years: tuple[float, float] = (1.0, 15.0)
    """Follow-up ends at a time drawn evenly from this range, whatever happens."""

    @model_validator(mode="after")
    def _order(self) -> SurvivalConfig:
        if not 0 <= self.censor_years[0] < self.censor_years[1]:
            raise ValueError("'censor_years' is [shortest, longest follow-up], from 0 on")
        return self


class RadiologyConfig(Section):
    """Findings of the role ``radiology``: the first three are drawn, independently; the others follow from the head."""

    haemorrhage: Share = 0.5
    """Share of subjects with an acute haemorrhage."""
    subdural: Share = 0.4
    """Share of the haemorrhages that are a subdural crescent; the others lie in the brain."""
    infarct: Share = 0.5
    """Share with an infarct in one vascular territory."""
    tumour: Share = 0.5
    """Share with a meningioma at one of four dural sites."""
    high_grade: Share = 0.5
    """Share of the tumours that are of high grade: irregular, necrotic, with more oedema."""
    white_matter_load: Annotated[float, Field(ge=0, le=0.8)] = 0.15
    """Load of white-matter disease (`cairn.cohort.lesions.white_matter_load`) from which the finding is told; about
    half of the subjects of 25 to 90 years have it."""
    atrophy: Annotated[float, Field(ge=0)] = 0.53
    """Widening of sulci (`cairn.cohort.anatomy.atrophy`) from which atrophy is told; half of them have it too."""
    survival: SurvivalConfig = SurvivalConfig()
    """Outcome of the subjects with a tumour."""
