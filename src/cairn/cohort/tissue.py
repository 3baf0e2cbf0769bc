"""From a T1-weighted head to tissue fractions: the person's own folding, read off the person's own scan.

The bias field is N4's (Tustison et al., IEEE TMI 2010); partial-volume fractions follow from where a voxel's intensity
lies between the means of a three-class mixture.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.io.boxes import bounding_box
from cairn.strip.morphology import largest_component

TISSUES = ("csf", "gm", "dgm", "wm", "bone", "fat", "muscle")
T1_SIGNAL = (None, None, None, 1.0, 0.10, 1.0, 0.45)  # CSF and grey matter as the mixture finds them
RESIDUAL_LIMIT = 0.25
EARS = 0.3  # height in the brain's box
MARGIN_MM = ((24, 24), (26, 30), (34, 24))  # around the brain's box: left/right, back/front, below/above
N4_SPLINE_MM = 150.0
BIAS_RANGE = 1.7  # N4 extrapolates outside the brain; there the field is held within this factor of its median

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Tissues:
    """Tissue model on a grid of ``voxel_mm``.

    ``fractions`` ``[7, X, Y, Z]`` in the order of `TISSUES` (what is left to 1 is air); ``residual`` what they do not
    explain of the T1 (white matter 1); ``ventricle_mm`` signed distance to the ventricles (negative inside);
    ``depth_mm`` signed distance to the brain mask's surface (positive inside); the brain's box in voxels.
    """

    fractions: Array
    residual: Array
    ventricle_mm: Array
    depth_mm: Array
    box_low: Array
    box_high: Array


def head_tissues(head: Array, brain: Mask, voxel_mm: float, plain_scalp: bool = False) -> Tissues:
    """Tissue model of a head ``[X, Y, Z]`` (RAS, isotropic ``voxel_mm``) with its brain mask.

    ``plain_scalp`` replaces what surrounds the brain above the ears, for scans whose field of view cuts it.
    """
    from scipy import ndimage as ndi

    head, brain, seen = _frame(head, brain, voxel_mm)
    depth = _signed_distance(brain, voxel_mm)
    flat, grey, csf = _flatten(head, brain, depth, voxel_mm)
    low, high = _box(brain)
    if plain_scalp:
        seen[..., int(low[2] + EARS * (high[2] - low[2])) :] = False
    unit = [(np.arange(n, dtype=np.float32) - a) / (b - a) for n, a, b in zip(head.shape, low, high, strict=True)]
    soft = np.clip(ndi.gaussian_filter(brain.astype(np.float32), 0.7), 0, 1)
    fractions = np.zeros((len(TISSUES), *head.shape), np.float32)
    fractions[:4] = _brain_fractions(flat, grey, csf, unit) * soft
    ventricles = _ventricles(fractions[0], depth, unit, voxel_mm)
    outside = _outside_fractions(flat, depth, seen, voxel_mm) * (1 - soft)
    fractions[0] += outside[0]
    fractions[4:] = outside[1:]
    means = np.array([csf, grey, grey, *T1_SIGNAL[3:]], np.float32)
    residual = np.clip(flat - np.tensordot(means, fractions, 1), -RESIDUAL_LIMIT, RESIDUAL_LIMIT) * soft
    return Tissues(fractions, residual, -_signed_distance(ventricles, voxel_mm), depth, low, high)


def _frame(head: Array, brain: Mask, voxel_mm: float) -> tuple[Array, Mask, Mask]:
    """Cut or pad to the margins around the brain; the third result tells where the scan had seen anything."""
    from scipy import ndimage as ndi

    low, high = _box(brain)
    cut, pad = [], []
    for axis, (before, after) in enumerate(MARGIN_MM):
        start, stop = int(low[axis] - before / voxel_mm), int(high[axis] + 1 + after / voxel_mm)
        cut.append(slice(max(0, start), min(head.shape[axis], stop)))
        pad.append((max(0, -start), max(0, stop - head.shape[axis])))
    window = tuple(cut)
    seen = np.pad(np.ones(head[window].shape, bool), pad)
    seen[..., : pad[2][0]] = True  # the neck is carried on downwards, as it would be
    below = np.pad(head[window], [(0, 0), (0, 0), (pad[2][0], 0)], mode="edge")
    framed = np.pad(below, [*pad[:2], (0, pad[2][1])])
    return framed.astype(np.float32), ndi.binary_fill_holes(np.pad(brain[window], pad)), seen


def _box(mask: Mask) -> tuple[Array, Array]:
    low, high = bounding_box(mask)
    return np.array(low, np.float32), np.array(high, np.float32) - 1


def _signed_distance(mask: Mask, voxel_mm: float) -> Array:
    """Distance in mm to the surface of ``mask``, positive inside, zero between the last voxel in and the first out."""
    from scipy import ndimage as ndi

    if not mask.any():
        return np.full(mask.shape, -99, np.float32)
    inside = ndi.distance_transform_edt(mask)
    outside = ndi.distance_transform_edt(~mask)
    return np.asarray(np.where(mask, inside - 0.5, 0.5 - outside) * voxel_mm, np.float32)


def _mixture(x: npt.NDArray[Any], rounds: int = 25) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Three Gaussian classes of a sample: means in ascending order of start, and each value's memberships."""
    means = np.percentile(x, [6, 42, 82]).astype(np.float64)
    spread, share = np.full(3, x.std() / 4), np.array([0.2, 0.45, 0.35])
    member = np.zeros((len(x), 3))
    for _ in range(rounds):
        member = share * np.exp(-0.5 * ((x[:, None] - means) / spread) ** 2) / spread + 1e-12
        member /= member.sum(1, keepdims=True)
        count = member.sum(0)
        means = (member * x[:, None]).sum(0) / count
        spread = np.sqrt((member * (x[:, None] - means) ** 2).sum(0) / count) + 1e-3
        share = count / count.sum()
    return np.sort(means), member


def _flatten(head: Array, brain: Mask, depth: Array, voxel_mm: float) -> tuple[Array, float, float]:
    """Head without bias, white matter at 1; grey matter's and CSF's mean in these units."""
    bias = _bias(head, brain, voxel_mm)
    middle = float(np.median(bias[brain]))
    flat = head / np.where(brain, bias, np.clip(bias, middle / BIAS_RANGE, middle * BIAS_RANGE))
    inner = flat[depth > 3]
    means, _ = _mixture(inner[:: max(1, len(inner) // 40_000)])
    flat /= means[2]
    csf = min(means[0] / means[2], float(np.percentile(flat[brain], 3)) * 1.15, 0.45)
    return flat.astype(np.float32), float(means[1] / means[2]), csf


def _bias(head: Array, brain: Mask, voxel_mm: float) -> Array:
    """N4's field, on one thread, which makes it bitwise repeatable."""
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"  # read when ITK is first used
    import ants

    spacing = (voxel_mm,) * 3
    field = ants.n4_bias_field_correction(
        ants.from_numpy(head + head.max() * np.float32(1e-3), spacing=spacing),
        mask=ants.from_numpy(brain.astype(np.float32), spacing=spacing),
        shrink_factor=max(1, int(np.ceil(4 / voxel_mm))), convergence={"iters": [50] * 4, "tol": 1e-6},
        spline_param=N4_SPLINE_MM, return_bias_field=True,
    )  # fmt: skip
    return np.asarray(field.numpy(), np.float32)


def _brain_fractions(flat: Array, grey: float, csf: float, unit: list[Array]) -> Array:
    """CSF, cortical grey, deep grey and white matter, ``[4, X, Y, Z]``; deep grey is grey that lies centrally."""
    white = np.clip((flat - grey - 0.15 * (1 - grey)) / (0.7 * (1 - grey)), 0, 1)
    fluid = np.clip((grey - 0.12 * (grey - csf) - flat) / (0.7 * (grey - csf)), 0, 1)
    matter = np.clip(1 - white - fluid, 0, 1)
    x = ((np.abs(unit[0] - 0.5) - 0.11) / 0.12)[:, None, None]
    y = ((unit[1] - 0.53) / 0.19)[None, :, None]
    z = ((unit[2] - 0.52) / 0.13)[None, None, :]
    deep = matter * np.exp(-((x**2 + y**2 + z**2) ** 2))
    return np.stack([fluid, matter - deep, deep, white]).astype(np.float32)


def _ventricles(fluid: Array, depth: Array, unit: list[Array], voxel_mm: float) -> Mask:
    """Deep CSF: the large components that reach into the middle of the brain's box."""
    from scipy import ndimage as ndi

    x, y, z = np.abs(unit[0] - 0.5)[:, None, None], unit[1][None, :, None], unit[2][None, None, :]
    wide = (x < 0.22) & (y > 0.2) & (y < 0.78) & (z > 0.42) & (z < 0.74)
    core = (x < 0.12) & (y > 0.3) & (y < 0.68) & (z > 0.48) & (z < 0.7)
    fluid_mask = (fluid > 0.5) & (depth > 12) & wide
    mask = ndi.binary_opening(fluid_mask) if voxel_mm < 1.3 else fluid_mask
    labels, count = ndi.label(mask)
    if not count:
        return np.asarray(mask, bool)
    size = np.bincount(labels.ravel())
    size[0] = 0
    central = np.bincount(labels.ravel(), weights=core.ravel().astype(float), minlength=count + 1)
    keep = [k for k in np.argsort(size)[-4:] if size[k] * voxel_mm**3 > 150 and central[k] > 0.25 * size[k]]
    return np.asarray(np.isin(labels, keep))


def _outside_fractions(flat: Array, depth: Array, seen: Mask, voxel_mm: float) -> Array:
    """CSF film, bone, fat and muscle outside the brain, ``[4, X, Y, Z]``; a plain scalp where the scan was cut."""
    from scipy import ndimage as ndi

    far = np.maximum(-depth, 0)
    rounds = max(1, round(3 / voxel_mm))
    head = ndi.binary_dilation(ndi.gaussian_filter(flat, 1 / voxel_mm) > 0.18, iterations=rounds)
    head = ndi.binary_erosion(head, iterations=2 * rounds, border_value=1)  # closed, then opened; not at the edges
    head = largest_component(ndi.binary_dilation(head, iterations=rounds) | (depth > 0))
    head = np.stack([ndi.binary_fill_holes(head[..., k]) for k in range(head.shape[2])], -1)
    skin_depth = ndi.distance_transform_edt(head) * voxel_mm
    film = np.exp(-((far / 1.6) ** 2)) * (flat < 0.55)
    fat = np.clip((flat - 0.75) / 0.3, 0, 1)
    muscle = np.clip((flat - 0.22) / 0.2, 0, 1) * (1 - fat)
    muscle = np.maximum(muscle, np.clip(1 - skin_depth / 2.5, 0, 1) * (1 - fat) * 0.8)
    solid = np.stack([film, (1 - film) * (1 - fat - muscle).clip(0, 1), (1 - film) * fat, (1 - film) * muscle])
    solid *= np.clip(ndi.gaussian_filter(head.astype(np.float32), 0.7), 0, 1)
    bands = [(0.0, 2.0), (2.0, 8.0), (8.0, 13.0), (13.0, 15.0)]  # a typical vault: film, bone, fat, skin
    shell = np.stack([np.clip(np.minimum(far - a, b - far) / voxel_mm + 0.5, 0, 1) for a, b in bands])
    return np.asarray(np.where(seen, solid, shell), np.float32)
