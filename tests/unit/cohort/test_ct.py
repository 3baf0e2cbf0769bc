"""Guards: Hounsfield units that a radiologist would accept, noise by slice thickness, and a head that T1w shares."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cairn.cohort.anatomy import BONE, CSF, DGM, FAT, GM, MUSCLE, WM, Anatomy
from cairn.cohort.ct import acquire_ct, attenuation
from cairn.cohort.plan import Case, visits
from cairn.cohort.scanner import poses, prescribe, take
from cairn.cohort.skull import add_skull
from cairn.cohort.subject import make_anatomy
from cairn.config.cohort import CohortSet, Protocol

VOXEL_MM, COARSEN = 3.0, 2.0
RANGE = {CSF: (0, 15), GM: (35, 42), DGM: (35, 42), WM: (24, 32), FAT: (-100, -60), MUSCLE: (42, 62)}


@pytest.fixture(scope="module")
def visit(config):
    spec = CohortSet(role="radiology", split="finetune", subjects=1, sites=("A1",), age_years=(60, 61))
    return replace(visits(config, "ct", spec)[0], case=Case("intraparenchymal", True, "convexity", False))


@pytest.fixture(scope="module")
def anatomy(ball, visit):
    return make_anatomy(ball, visit, VOXEL_MM)


def scan_of(anatomy, visit, site, protocol, noise=None):
    site = site if noise is None else site.model_copy(update={"ct_noise_hu": noise})
    pose = poses(visit, site)
    grid = prescribe(anatomy, visit, site, "CT", protocol, COARSEN, pose[visit.reference])
    return acquire_ct(anatomy, attenuation(anatomy, visit, site), visit, site, grid, pose["CT"]), grid, pose["CT"]


def pure(anatomy, share: torch.Tensor) -> torch.Tensor:
    """Voxels that are wholly one thing, without a finding."""
    findings = sum(v for k, v in anatomy.overlays.items() if k not in ("veins", "diploe", "air-cells"))
    return (share > 0.98) & (findings < 0.02)


@pytest.mark.parametrize("site", ["A1", "B", "C"])
def test_every_tissue_is_in_its_range(anatomy, visit, config, site):
    hu = attenuation(anatomy, replace(visit, site=site), config.sites[site])
    for tissue, (low, high) in RANGE.items():
        values = hu[pure(anatomy, anatomy.fractions[tissue]) & (anatomy.fractions[BONE] < 0.003)]  # 1 % is 13 HU
        assert low <= float(values.median()) <= high, tissue
        assert low - 8 <= float(values.quantile(0.02)), tissue
        assert float(values.quantile(0.98)) <= high + 8, tissue
    bone = hu[pure(anatomy, anatomy.fractions[BONE]) & (anatomy.overlays["air-cells"] < 0.02)]
    assert float(bone.min()) > 500
    assert float(bone.max()) < 1600
    open_air = (anatomy.fractions.sum(0) < 0.01) & (anatomy.depth_mm < 0) & (anatomy.overlays["eyes"] < 1e-6)
    assert float(hu[open_air & (anatomy.overlays["haemorrhage"] < 1e-6)].max()) == pytest.approx(-1000, abs=12)


def test_grey_is_denser_than_white_and_rounding_leaves_no_air_in_the_brain(anatomy, visit, config):
    hu = attenuation(anatomy, visit, config.sites["A1"])
    grey, white = (hu[pure(anatomy, anatomy.fractions[t])].median() for t in (GM, WM))
    assert 5 < float(grey - white) < 15
    anatomy_rounded = replace(anatomy, fractions=anatomy.fractions * 0.985)  # shares are kept as bytes
    rounded = attenuation(anatomy_rounded, visit, config.sites["A1"])
    assert float((rounded - hu)[pure(anatomy, anatomy.fractions[GM])].abs().max()) < 1


def test_a_vault_has_two_tables_and_spongy_bone_between(visit, config):
    """A slab of 10 mm of bone above brain: dense, less dense, dense."""
    shape = (48, 48, 40)
    fractions = torch.zeros(7, *shape)
    fractions[WM, :, :, :22], fractions[BONE, :, :, 22:32], fractions[FAT, :, :, 32:38] = 1, 1, 1
    axes = [torch.linspace(low, low + 1, n) for low, n in zip((0, 0, 0.4), shape, strict=True)]
    box = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    depth = (22 - torch.arange(40.0)).expand(shape).contiguous()
    slab = Anatomy(1.0, np.eye(4), fractions, torch.zeros(shape), torch.full(shape, 50.0), depth, box, 0.5)
    add_skull(slab, visit)
    line = attenuation(slab, visit, config.sites["A1"])[24, 10, 22:32]
    assert float(line[[0, 9]].min()) > 1200
    assert 550 < float(line[[4, 5]].max()) < 800
    assert float(slab.overlays["air-cells"].max()) < 0.05


def test_findings_have_the_contrast_they_should(anatomy, visit, config):
    hu = attenuation(anatomy, visit, config.sites["A1"])
    brain = hu[pure(anatomy, anatomy.fractions[GM] + anatomy.fractions[WM])].median()
    blood = hu[anatomy.overlays["haemorrhage"] > 0.95]
    assert 50 < float(blood.median()) < 88
    assert float(blood.median() - brain) > 15
    infarct = hu[(anatomy.overlays["infarct"] > 0.9) & (anatomy.fractions[CSF] < 0.05)]
    assert 12 < float(infarct.median()) < 26
    tumour = hu[anatomy.overlays["meningioma"] > 0.95]
    assert 35 < float(tumour.median()) < 50


def test_high_grade_has_a_dark_core_and_a_denser_rim(ball, visit, config):
    sick = replace(visit, case=Case(None, False, "convexity", True))
    anatomy = make_anatomy(ball, sick, VOXEL_MM)
    hu = attenuation(anatomy, sick, config.sites["A1"])
    core = hu[(anatomy.overlays["necrosis"] > 0.8) & (anatomy.overlays["meningioma"] > 0.95)]
    rim = hu[(anatomy.overlays["necrosis"] < 0.2) & (anatomy.overlays["meningioma"] > 0.95)]
    assert float(rim.median() - core.median()) > 12


def test_a_scan_is_int16_in_air_at_minus_1000(anatomy, visit, config):
    scan, _, _ = scan_of(anatomy, visit, config.sites["A1"], config.sites["A1"].protocols["CT"])
    assert scan.dtype == np.int16
    assert scan.min() >= -1024
    assert scan.max() < 1700
    corner = scan[:6, :6]
    assert np.median(corner) == pytest.approx(-1000, abs=1)


def test_noise_grows_as_slices_get_thinner(anatomy, visit, config):
    """Twice as thin, the square root of two as noisy; the difference to a scan without noise is noise alone."""
    sd = {}
    for slices in (10.0, 5.0):
        protocol = Protocol(in_plane_mm=1.5, slice_mm=slices)
        (noisy, _, _), (clean, _, _) = (scan_of(anatomy, visit, config.sites["A1"], protocol, n) for n in (3.5, 0.0))
        head = clean > -500
        sd[slices] = float((noisy.astype(float) - clean)[head].std())
    assert sd[5.0] == pytest.approx(3.5, rel=0.1)
    assert sd[5.0] / sd[10.0] == pytest.approx(np.sqrt(2), rel=0.1)


def test_ct_and_t1w_show_the_same_head(anatomy, visit, config):
    """The truth's poses lead a landmark from one scan to the other: the ventricles' centre, as each grid sees it."""
    site = config.sites["A1"]
    pose = poses(visit, site)
    ventricle = (anatomy.ventricle_mm < 0).float()
    seen = {}
    for sequence in ("CT", "T1w"):
        grid = prescribe(anatomy, visit, site, sequence, site.protocols[sequence], COARSEN, pose[visit.reference])
        weight = take(anatomy, ventricle[None], grid, pose[sequence])[0].numpy()
        centre = [(weight * axis).sum() / weight.sum() for axis in np.indices(grid.shape)]
        seen[sequence] = grid.affine @ np.r_[centre, 1.0]
    motion = pose["CT"] @ np.linalg.inv(pose["T1w"])
    assert motion @ seen["T1w"] == pytest.approx(seen["CT"], abs=0.6)
    assert np.linalg.norm((seen["T1w"] - seen["CT"])[:3]) > 0.8  # the header alone misses it


def test_a_defacing_site_leaves_air_and_no_brain_is_lost(anatomy, visit, config):
    full = config.sites["A1"]
    scans = {}
    for release in ("full", "defaced"):
        site = full.model_copy(update={"release": release})
        scans[release], grid, pose = scan_of(anatomy, visit, site, full.protocols["CT"], 0.0)
        brain = take(anatomy, anatomy.brain[None], grid, pose)[0].numpy() > 0.5
    changed = scans["full"] != scans["defaced"]
    assert changed.sum() > 50
    assert (scans["defaced"] <= scans["full"]).mean() > 0.97
    assert changed[brain].mean() < 0.002
