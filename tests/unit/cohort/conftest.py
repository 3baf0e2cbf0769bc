"""A donor made of ellipsoids, and small cohorts of it: no package, no network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cairn.cohort.donor import Donor, load_donor, save_donor
from cairn.cohort.tissue import TISSUES, Tissues
from cairn.config.cohort import CohortConfig, CohortSet

VOXEL_MM = 3.0


def ellipsoid(shape, centre_mm, half_mm):
    """Signed distance in mm, about: positive inside an ellipsoid."""
    axes = [np.arange(n) * VOXEL_MM - c for n, c in zip(shape, centre_mm, strict=True)]
    grid = np.meshgrid(*axes, indexing="ij")
    radius = np.sqrt(sum((g / h) ** 2 for g, h in zip(grid, half_mm, strict=True)))
    return (1 - radius) * min(half_mm)


def ball_head(name: str) -> Donor:
    """Brain (grey rind, white core, two ventricles, deep grey) in a film of CSF, skull, fat and skin."""
    shape, middle = (64, 76, 66), np.array([94.0, 112.0, 106.0])
    brain = ellipsoid(shape, middle, (68, 84, 62))
    ventricle = np.maximum(*(ellipsoid(shape, middle + np.array([s * 14, 0, 8]), (6, 30, 10)) for s in (-1, 1)))
    deep = np.maximum(*(ellipsoid(shape, middle + np.array([s * 24, 4, 2]), (9, 16, 12)) for s in (-1, 1)))
    fractions = np.zeros((len(TISSUES), *shape), np.float32)
    csf, gm, dgm, wm, bone, fat, muscle = fractions
    csf[(brain > -2) & ((brain < 3) | (ventricle > 0))] = 1
    gm[(brain >= 3) & (brain < 9)] = 1
    dgm[(deep > 0) & (ventricle <= 0)] = 1
    wm[(brain >= 9) & (deep <= 0) & (ventricle <= 0)] = 1
    bone[(brain <= -2) & (brain > -9)] = 1
    fat[(brain <= -9) & (brain > -14)] = 1
    muscle[(brain <= -14) & (brain > -17)] = 1
    low, high = (np.array([(i.min(), i.max()) for i in np.nonzero(brain > 0)], np.float32)).T
    zero = np.zeros(shape, np.float32)
    return Donor(
        name,
        Tissues(fractions, zero, -ventricle.astype(np.float32), brain.astype(np.float32), low, high),
        VOXEL_MM,
        False,
    )


@pytest.fixture(scope="session")
def donors(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("donors")
    for name in ("ball", "egg", "pear"):
        save_donor(folder / f"{name}.safetensors", ball_head(name))
    return folder


@pytest.fixture(scope="session")
def ball(donors):
    from cairn.cohort.anatomy import LoadedDonor

    return LoadedDonor(load_donor(donors / "ball.safetensors"))


@pytest.fixture(scope="session")
def config() -> CohortConfig:
    package = {"version": "1", "sha256": "0" * 64, "archive": "whl", "role": "test", "licence": "none"}
    return CohortConfig(
        voxel_mm=VOXEL_MM, donor_mm=VOXEL_MM, coarsen=3.0,
        packages={"heads": package},
        donors={n: {"package": "heads", "image": n} for n in ("ball", "egg", "pear")},
        donor_groups={"train": ("ball",), "indomain": ("egg",), "test": ("pear",)},
    )  # fmt: skip


@pytest.fixture(scope="session")
def infarcts() -> CohortSet:
    return CohortSet(role="infarct", split="finetune", positives=2, negatives=2, sites=("A1", "B"), mimics=1.0)
