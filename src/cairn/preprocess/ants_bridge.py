"""ANTs, called so that the same images give the same bytes: one thread, a seed, no file left behind.

World coordinates here are nibabel's (mm, RAS+); ITK's are LPS+. A transform is a 4x4 from the fixed image's world to
the moving image's world, which is the direction in which ITK resamples.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cairn.preprocess.native import Array, Mask, Volume

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Schedule:
    """Levels, coarse to fine: iterations, shrink factors, smoothing (voxels); and the number of voxels sampled."""

    iterations: tuple[int, ...]
    shrink: tuple[int, ...]
    smooth: tuple[int, ...]
    samples: int = 10**9  # every one


def load_ants(seed: int) -> Any:
    """Import ANTs. Both variables must stand before ITK starts a thread; one thread is the only repeatable way."""
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
    os.environ["ANTS_RANDOM_SEED"] = str(seed)
    import ants

    return ants


def to_ants(ants: Any, data: Array, affine: Array) -> Any:
    """An ANTs image of ``data``; sheared voxels are first interpolated onto straight ones, which ITK needs."""
    affine = LPS @ affine
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    direction = affine[:3, :3] / zooms
    if not np.allclose(direction.T @ direction, np.eye(3), atol=1e-3):
        data, affine, zooms, direction = _straightened(data, affine, zooms)
    return ants.from_numpy(
        np.ascontiguousarray(data, np.float32), list(affine[:3, 3]), [float(z) for z in zooms], direction=direction
    )


def _straightened(data: Array, affine: Array, zooms: Array) -> tuple[Array, Array, Array, Array]:
    from scipy import ndimage

    corners = np.array(np.meshgrid(*[(0, n - 1) for n in data.shape])).reshape(3, -1)
    world = affine[:3, :3] @ corners + affine[:3, 3:]
    low, high = world.min(1), world.max(1)
    straight = np.diag([*zooms, 1.0])
    straight[:3, 3] = low
    shape = tuple(int(n) for n in np.ceil((high - low) / zooms) + 1)
    step = np.linalg.inv(affine) @ straight
    out = ndimage.affine_transform(np.asarray(data, np.float32), step[:3, :3], step[:3, 3], shape, order=1)
    return out, straight, zooms, np.eye(3)


def register(
    fixed: tuple[Volume, Array],
    moving: tuple[Volume, Array],
    kind: Literal["Rigid", "Affine"],
    start: Array,
    schedule: Schedule,
    seed: int,
) -> Array:
    """Linear registration by Mattes mutual information.

    Args:
        fixed: volume and affine.
        moving: volume and affine.
        kind: six or twelve parameters.
        start: 4x4, orthonormal, fixed world to moving world, to begin from.
        schedule: levels and sampling.
        seed: of the sampling.

    Returns:
        4x4 from fixed world mm to moving world mm.
    """
    ants = load_ants(seed)
    # The start goes into the moving image's header: then ITK starts from identity, at the image's own centre.
    image = to_ants(ants, *fixed)
    other = to_ants(ants, moving[0], np.linalg.inv(start) @ moving[1])
    with tempfile.TemporaryDirectory() as folder:
        result = ants.registration(
            image, other, type_of_transform=kind, initial_transform="Identity", outprefix=str(Path(folder) / "t"),
            aff_random_sampling_rate=sampling_rate(fixed[0].shape, schedule.samples),
            aff_iterations=schedule.iterations, aff_shrink_factors=schedule.shrink,
            aff_smoothing_sigmas=schedule.smooth,
        )  # fmt: skip
        found = _matrix(ants.read_transform(result["fwdtransforms"][0]))
    return np.asarray(start @ found)


def sampling_rate(shape: tuple[int, ...], samples: int) -> float:
    """Share of voxels to sample so that about ``samples`` are seen, spread evenly.

    ITK takes every n-th voxel in memory order. Where n shares a factor with a side, whole columns are never seen, which
    cost one pair of the embedded cohort a degree; so n is a prime that divides no side, nor a side of the shrunk level.
    """
    most = int(np.prod(shape)) // max(1, samples)
    for n in range(most, 1, -1):
        if all(n % k for k in range(2, int(n**0.5) + 1)) and all(side % n and (side // 2) % n for side in shape):
            return 1 / (n - 0.5)  # ITK rounds the inverse up
    return 1.0


def _matrix(transform: Any) -> Array:
    """ITK's matrix about a centre as a 4x4 in RAS+ world coordinates."""
    values, centre = np.asarray(transform.parameters, float), np.asarray(transform.fixed_parameters, float)
    out = np.eye(4)
    out[:3, :3] = values[:9].reshape(3, 3)
    out[:3, 3] = values[9:] + centre - out[:3, :3] @ centre
    return np.asarray(LPS @ out @ LPS)


def carry_mask_syn(head: tuple[Volume, Array], template: tuple[Volume, Array], mask: Mask, seed: int) -> Mask:
    """Carry the template's ``mask`` onto ``head`` by SyN (Avants et al. 2008), affine stage included."""
    ants = load_ants(seed)
    fixed, moving = to_ants(ants, *head), to_ants(ants, *template)
    carried = to_ants(ants, mask.astype(np.float32), template[1])
    with tempfile.TemporaryDirectory() as folder:
        result = ants.registration(fixed, moving, type_of_transform="SyN", outprefix=str(Path(folder) / "t"))
        out = ants.apply_transforms(fixed, carried, result["fwdtransforms"], interpolator="linear")
    return np.asarray(out.numpy() >= 0.5)


def bias_field(volume: tuple[Volume, Array], mask: Mask, iterations: tuple[int, ...], seed: int) -> Volume:
    """N4's multiplicative field of a coarse volume, 1 on average inside ``mask``."""
    ants = load_ants(seed)
    data = np.maximum(volume[0], 0) + 1e-3 * float(np.percentile(volume[0], 99))
    field = ants.n4_bias_field_correction(
        to_ants(ants, data, volume[1]), mask=to_ants(ants, mask.astype(np.float32), volume[1]), shrink_factor=1,
        convergence={"iters": list(iterations), "tol": 1e-6}, return_bias_field=True,
    ).numpy()  # fmt: skip
    return np.asarray(field / field[mask].mean(), np.float32)
