"""Guards: what a scan sees of a subject – landmarks under motion, slice profile, release of heads without faces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cairn.cohort.fields import mesh
from cairn.cohort.plan import visits
from cairn.cohort.scanner import acquire, poses, prescribe, take
from cairn.cohort.signal import signal
from cairn.cohort.subject import make_anatomy
from cairn.config.cohort import CohortSet, Protocol

VOXEL_MM, COARSEN = 3.0, 2.0
LANDMARK_MM = np.array([22.0, -31.0, 18.0, 1.0])  # anatomical


@pytest.fixture(scope="module")
def visit(config):
    spec = CohortSet(role="infarct", split="finetune", positives=1, sites=("B",), age_years=(60, 61))
    return visits(config, "scan", spec)[0]


@pytest.fixture(scope="module")
def anatomy(ball, visit):
    return make_anatomy(ball, visit, VOXEL_MM)


def grid_of(anatomy, visit, config, sequence):
    site = config.sites[visit.site]
    lie = poses(visit, site)[visit.reference]
    return prescribe(anatomy, visit, site, sequence, site.protocols[sequence], COARSEN, lie)


def test_the_truth_carries_a_landmark_from_scan_to_scan(anatomy, visit, config):
    """A small ball in the head: where it shines in one scan, the truth's motion leads to where it shines in another."""
    away = mesh(anatomy.shape, anatomy.affine) - torch.tensor(LANDMARK_MM[:3], dtype=torch.float32).view(3, 1, 1, 1)
    ball = torch.exp(-((away / 6) ** 2).sum(0))
    pose = poses(visit, config.sites[visit.site])
    seen = {}
    for sequence in ("FLAIR", "DWI", "T2star"):
        grid = grid_of(anatomy, visit, config, sequence)
        weight = take(anatomy, ball[None], grid, pose[sequence])[0].numpy()
        centre = [(weight * axis).sum() / weight.sum() for axis in np.indices(grid.shape)]
        seen[sequence] = grid.affine @ np.r_[centre, 1.0]
        assert seen[sequence] == pytest.approx(pose[sequence] @ LANDMARK_MM, abs=0.3)
    back = np.linalg.inv(pose["FLAIR"])
    for sequence in ("DWI", "T2star"):
        assert pose[sequence] @ back @ seen["FLAIR"] == pytest.approx(seen[sequence], abs=0.5)
        assert np.linalg.norm(seen["FLAIR"] - seen[sequence]) > 0.5  # the header alone misses it


def test_a_slice_averages_over_its_thickness_and_not_over_the_gap(anatomy, visit, config):
    """A thin plate across the slice axis shows in the slice that holds it; in a gap it shows nowhere."""
    site = config.sites["A1"].model_copy(update={"oblique_deg": 0.0})
    fine = replace(anatomy, voxel_mm=VOXEL_MM)
    protocol = Protocol(in_plane_mm=2, slice_mm=9, gap_mm=5, orientation="RAS")
    grid = prescribe(fine, visit, site, "FLAIR", protocol, COARSEN, np.eye(4))
    world_z = mesh(anatomy.shape, anatomy.affine)[2]
    response = []
    for height in np.arange(0, 14, 1.0):
        plate = torch.exp(-(((world_z - float(grid.affine[2, 3] + 5 * grid.affine[2, 2] + height)) / 2) ** 2))
        response.append(float(take(fine, plate[None], grid, np.eye(4))[0][:, :, 5].mean()))
    assert min(response[:4]) > 0.5 * max(response)  # within half the thickness
    assert max(response[7:8]) < 0.35 * max(response)  # in the middle of the gap


def test_every_scan_holds_the_whole_brain_and_its_scalp(anatomy, visit, config):
    """The field of view leaves no brain out, and what surrounds it is signal: these are heads, not brains."""
    site = config.sites[visit.site]
    pose = poses(visit, site)
    for sequence in ("FLAIR", "DWI"):
        grid = grid_of(anatomy, visit, config, sequence)
        seen = take(anatomy, torch.stack([anatomy.brain, anatomy.fractions[5]]), grid, pose[sequence])
        ml = seen.sum((1, 2, 3)) * float(np.abs(np.linalg.det(grid.affine[:3, :3]))) / 1000
        assert float(ml[0]) == pytest.approx(anatomy.ml(anatomy.brain), rel=0.03)
        assert float(ml[1]) > 0.9 * anatomy.ml(anatomy.fractions[5])


def test_a_defacing_site_removes_the_face_and_no_brain(anatomy, visit, config):
    site = config.sites["A1"]
    raw = {}
    for release in ("full", "defaced"):
        at = site.model_copy(update={"release": release, "noise": 0.0, "bias": 0.0})
        image, pose = signal(anatomy, visit, at, "FLAIR"), poses(visit, at)["FLAIR"]
        grid = prescribe(anatomy, visit, at, "FLAIR", at.protocols["FLAIR"], COARSEN, pose)
        raw[release] = acquire(anatomy, image, visit, at, "FLAIR", grid, pose)
        brain = take(anatomy, anatomy.brain[None], grid, pose)[0].numpy() > 0.5
    changed = raw["full"] != raw["defaced"]
    assert changed.sum() > 100
    assert changed[brain].mean() < 0.002
