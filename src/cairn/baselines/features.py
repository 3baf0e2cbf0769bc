"""Simple volumes and intensities of a session, as numbers with names.

For each sequence: percentiles, shares of dark and bright voxels, regional means on a 3x3x3 grid over the brain's box,
left-right asymmetry. And the brain's volume. All inside the brain mask; intensities are normalised by preprocessing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.config.tasks import TaskInputs
from cairn.tasks.cases import Case

Array = npt.NDArray[Any]
PERCENTILES = (1, 5, 25, 50, 75, 95, 99, 99.9)
DARK, BRIGHT, VERY_BRIGHT = -1.0, 1.0, 3.0
REGIONS = 3


def slots(task: TaskInputs) -> list[str]:
    """Names of the sequences that the features describe: required ones, then groups."""
    return [*task.required, *("|".join(group) for group in task.any_of)]


def boxed(case: Case, count: int) -> tuple[Array, Array]:
    """The first ``count`` sequences ``[S, X, Y, Z]`` and the brain mask, cut to the brain's box."""
    origin, size = case.origin(case.extent), case.extent
    mask = case.session.mask()[tuple(slice(o, o + s) for o, s in zip(origin, size, strict=True))]
    return case.volumes(size)[:count], mask


def feature_names(task: TaskInputs) -> list[str]:
    """Names in the order of `session_features`."""
    names = ["brain_ml"]
    for slot in slots(task):
        names += [f"{slot}_p{p}" for p in PERCENTILES]
        names += [f"{slot}_{n}" for n in ("dark", "bright", "very_bright_ml", "asymmetry", "asymmetry_p99")]
        names += [f"{slot}_region_{i}" for i in range(REGIONS**3)]
    return names


def session_features(task: TaskInputs, case: Case) -> npt.NDArray[np.float64]:
    """Features of a session, ``[F]``."""
    volumes, mask = boxed(case, len(slots(task)))
    voxel_ml = abs(float(np.linalg.det(case.session.geometry.affine[:3, :3]))) / 1000
    found = [float(mask.sum()) * voxel_ml]
    both = mask & mask[::-1]
    for volume in volumes:
        inside = volume[mask]
        found += [float(p) for p in np.percentile(inside, PERCENTILES)]
        found += [float((inside < DARK).mean()), float((inside > BRIGHT).mean())]
        found.append(float((inside > VERY_BRIGHT).sum()) * voxel_ml)
        difference = np.abs(volume - volume[::-1])[both]
        found += [float(difference.mean()), float(np.percentile(difference, 99))] if both.any() else [0.0, 0.0]
        found += regional_means(volume, mask)
    return np.array(found)


def regional_means(volume_XYZ: Array, mask_XYZ: Array) -> list[float]:
    """Means over brain voxels of the ``REGIONS``^3 parts of the box; 0 where a part holds no brain."""
    cuts = [np.linspace(0, n, REGIONS + 1).round().astype(int) for n in mask_XYZ.shape]
    means = []
    for place in np.ndindex(REGIONS, REGIONS, REGIONS):
        part = tuple(slice(c[i], c[i + 1]) for c, i in zip(cuts, place, strict=True))
        inside = mask_XYZ[part]
        means.append(float(volume_XYZ[part][inside].mean()) if inside.any() else 0.0)
    return means
