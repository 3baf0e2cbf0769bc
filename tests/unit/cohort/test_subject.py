"""Guards: anatomy and findings – ageing, infarcts and mimics, a meningioma that sits on the dura and pushes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cairn.cohort.anatomy import CSF, DGM, GM, WM, fill, make_frame
from cairn.cohort.fields import smooth
from cairn.cohort.plan import visits
from cairn.cohort.signal import signal
from cairn.cohort.subject import make_anatomy
from cairn.config.cohort import CohortSet

VOXEL_MM = 3.0
BOX_MM = torch.tensor([135.0, 165.0, 123.0]).view(3, 1, 1, 1)  # the ball donor's brain box


@pytest.fixture(scope="module")
def visit(config):
    return visits(config, "one", CohortSet(role="age", split="finetune", subjects=1, sites=("A1",)))[0]


def test_ventricles_grow_with_age_on_average_but_do_not_tell_it(ball, visit):
    """Same person at three ages: monotone. Many people: correlated, far from perfectly."""
    one = [make_anatomy(ball, replace(visit, age_years=a), VOXEL_MM).ventricle_ml for a in (25.0, 55.0, 85.0)]
    assert one[0] < one[1] < one[2]
    ages = np.linspace(20, 90, 24)
    ml = [_ventricles(ball, replace(visit, subject=f"{i:04d}", age_years=float(a))) for i, a in enumerate(ages)]
    r = np.corrcoef(ages, ml)[0, 1]
    assert 0.5 < r < 0.95


def _ventricles(ball, visit) -> float:
    return fill(make_frame(ball, visit, VOXEL_MM), visit, VOXEL_MM).ventricle_ml


def test_sulci_widen_with_age(ball, visit):
    young, old = (make_anatomy(ball, replace(visit, age_years=a), VOXEL_MM) for a in (25.0, 88.0))
    outer = (young.ventricle_mm > 10) & (young.depth_mm > 0)
    assert (old.fractions[CSF] * outer).sum() > 1.1 * (young.fractions[CSF] * outer).sum()


def test_a_mimic_shines_on_dwi_and_is_not_dark_on_adc(ball, visit, config):
    site = config.sites["A1"]
    found = []
    for i in range(6):
        sick = replace(visit, subject=f"{i:04d}", finding="mimic")
        anatomy = make_anatomy(ball, sick, VOXEL_MM)
        shine = anatomy.overlays.get("shine-through")
        if shine is None or shine.max() < 0.6:
            continue
        core, white = shine > 0.6, (anatomy.fractions[WM] > 0.9) & (shine < 0.05)
        dwi, adc = (signal(anatomy, sick, site, s) for s in ("DWI", "ADC"))
        assert dwi[core].median() > 1.2 * dwi[white].median()
        assert adc[core].median() > 1.1 * adc[white].median()
        found.append(i)
    assert found


def test_an_infarct_keeps_to_one_hemisphere_and_to_tissue(ball, visit):
    for i in range(4):
        anatomy = make_anatomy(ball, replace(visit, subject=f"{i:04d}", finding="infarct"), VOXEL_MM)
        infarct = anatomy.overlays["infarct"]
        left = float((infarct * (anatomy.box[0] < 0.5)).sum() / infarct.sum())
        assert max(left, 1 - left) > 0.9
        assert float((infarct * (anatomy.fractions[[GM, DGM, WM]].sum(0) < 0.05)).sum()) < 0.02 * float(infarct.sum())
        assert anatomy.ml(infarct) > 0.05


def test_a_meningioma_is_outside_the_brain_touches_the_dura_and_pushes(ball, visit):
    pushes = []
    for i in range(5):
        sick = replace(visit, subject=f"{i:04d}", finding="meningioma")
        anatomy, healthy = (make_anatomy(ball, v, VOXEL_MM) for v in (sick, replace(sick, finding="none")))
        tumour = anatomy.overlays["meningioma"]
        core = tumour > 0.9
        assert float(anatomy.fractions[:, core].sum(0).max()) <= 0.11  # no tissue where the tumour is
        nearest_dura = min(float(d[tumour > 0.5].min()) for d in (healthy.depth_mm, _to_falx(healthy)))
        assert nearest_dura < 4
        # Tissue beside the tumour has come from where the tumour now is: its place in the head points there.
        came_from = (anatomy.box - healthy.box) * BOX_MM
        beside = (tumour < 0.05) & (smooth(tumour, 2.0) > 0.05) & (anatomy.depth_mm > 8)
        centre = torch.nonzero(core).float().mean(0).view(3, 1, 1, 1)
        towards = centre - torch.stack(torch.meshgrid(*map(torch.arange, tumour.shape), indexing="ij"))
        push_mm = (came_from * towards / towards.norm(dim=0)).sum(0)[beside]
        pushes.append(float(push_mm.median()))
        assert float((push_mm > -0.3).float().mean()) > 0.95
        skull = healthy.depth_mm < -6
        assert torch.allclose(anatomy.fractions[4:, skull], healthy.fractions[4:, skull], atol=0.02)
    assert min(pushes) > 0.4
    assert np.mean(pushes) > 1.2


def _to_falx(anatomy) -> torch.Tensor:
    return (anatomy.box[0] - 0.5).abs() * 136


def test_a_finding_does_not_change_the_person(ball, visit):
    """The same subject with and without an infarct: same head, so that a label cannot be read off the shape."""
    well, sick = (make_anatomy(ball, replace(visit, finding=f), VOXEL_MM) for f in ("none", "infarct"))
    assert torch.equal(well.fractions, sick.fractions)


def test_sites_look_different(ball, visit, config):
    anatomy = make_anatomy(ball, visit, VOXEL_MM)
    white, grey = anatomy.fractions[WM] > 0.95, anatomy.fractions[GM] > 0.95
    ratios = set()
    for name in ("A1", "B", "C"):
        image = signal(anatomy, replace(visit, site=name), config.sites[name], "FLAIR")
        ratios.add(round(float(image[white].median() / image[grey].median()), 2))
    assert len(ratios) == 3
