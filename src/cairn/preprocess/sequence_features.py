"""What a scan looks like, in some fifty numbers: enough to tell its sequence, and that it is a head at all.

The numbers are taken from an average of about 4 mm, by depth below the surface of what is not air: scalp and skull,
cortex, white matter, ventricles. No axis has a name, so that flips and turns change nothing; intensities count from the
median of the inside in units of its spread, so that scale and offset change nothing. Voxel sizes are no feature: a
protocol's habit is not the contrast.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from cairn.preprocess.native import AIR_HU, HOUNSFIELD, Array, Mask, Volume, block_mean

SPACING_MM = 4.0
BANDS_MM = (0.0, 6.0, 12.0, 18.0, 26.0, 36.0, 48.0, np.inf)  # scalp, skull, cortex, …, ventricles
INSIDE_MM = 20.0  # deeper than this, a whole head holds little but brain
FEWEST_VOXELS = 400  # inside; 25 ml
QUANTILES = (2, 10, 25, 75, 90, 98)
FEWEST_LEVELS = 32  # different values; a map of labels or a mask has fewer, a scan hundreds
EXACT_SHARE = 0.2  # of the voxels at one same value, from where on that value is what was taken away

Features = npt.NDArray[np.float64]


def names() -> list[str]:
    """The features' names, in order."""
    shape = ["log_volume", "depth", "filled", "exact", "hounsfield", "air"]
    bands = [f"band{i}_{q}" for i in range(len(BANDS_MM) - 1) for q in ("low", "median", "high", "share")]
    texture = [
        "skew", "tails", "edges", "edges_high", "bright_spots", "dark_spots", "smooth", "deeper_is_brighter",
        "brighter_has_edges",
    ]  # fmt: skip
    return [*shape, *(f"inside_{q}" for q in QUANTILES), *bands, *texture]


def features(data_XYZ: Volume, affine: Array) -> Features | None:
    """Features ``[F]`` of a scan; None where nothing like a head is there: too little that is not air, or too few
    different values.

    Args:
        data_XYZ: intensities as read, in any unit and order of axes.
        affine: 4x4 voxel to world mm; only its voxel sizes are used, and only as lengths.
    """
    if np.unique(data_XYZ[::2, ::2, ::2]).size < FEWEST_LEVELS:
        return None
    value, removed = _background(data_XYZ)
    coarse, to_world = block_mean(value, affine, SPACING_MM)
    zooms = np.linalg.norm(to_world[:3, :3], axis=0)
    head = _head(coarse, removed)
    depth = _depth(head, zooms)
    inside = depth >= min(INSIDE_MM, 0.5 * float(depth.max(initial=0.0)))
    inside &= head
    if inside.sum() < FEWEST_VOXELS:
        return None
    low, middle, high = np.percentile(coarse[inside], (10, 50, 90))
    spread = max(float(high - low), 1e-6 * max(abs(float(high)), 1.0))
    z = np.arcsinh((coarse - middle) / spread)
    ml = float(head.sum() * np.prod(zooms)) / 1000
    shape = [
        np.log(ml), float(depth.max()) / 50, float((coarse[head] > 0).mean()), removed,
        float(data_XYZ.min() < HOUNSFIELD), float(np.arcsinh(-middle / spread)),
    ]  # fmt: skip
    quantiles = np.percentile(z[inside], QUANTILES)
    return np.array([*shape, *quantiles, *_bands(z, head, depth), *_texture(z, inside, depth)], np.float64)


def _background(data: Volume) -> tuple[Volume, float]:
    """Intensities above air, at least 0, and the share of voxels at exactly the value of what was taken away."""
    if data.min() < HOUNSFIELD:
        return np.asarray(np.clip(data, AIR_HU, 3000) - AIR_HU, np.float32), 0.0
    sample = data[::2, ::2, ::2].ravel()
    values, counts = np.unique(sample, return_counts=True)
    mode, share = float(values[counts.argmax()]), float(counts.max() / sample.size)
    if share >= EXACT_SHARE:  # a released mask, or a scanner that cuts air to 0
        above = data - np.float32(mode)
        if mode > np.percentile(sample, 5):  # normalised inside the brain: air lies among the intensities
            rest = sample[sample != mode]
            above = np.where(data == mode, 0, data - np.percentile(rest, 0.5)) if rest.size else above
        return np.maximum(above, 0).astype(np.float32), share
    floor = np.float32(np.percentile(sample, 1))
    return np.maximum(data - floor, 0), share


def _head(coarse: Volume, removed: float) -> Mask:
    """What is not air: the largest part, closed, with holes filled slice by slice along every axis."""
    from scipy import ndimage

    from cairn.strip.morphology import largest_component

    bright = coarse[coarse > 0]
    if bright.size < FEWEST_VOXELS:
        return np.zeros(coarse.shape, np.bool_)
    found = coarse > 0.12 * float(np.percentile(bright, 95))
    found = largest_component(ndimage.binary_opening(np.pad(found, 2)))
    found = ndimage.binary_closing(found, iterations=2)[2:-2, 2:-2, 2:-2]
    filled = found.copy()
    for axis in range(3):
        in_plane = ndimage.generate_binary_structure(3, 1) & (np.indices((3, 3, 3))[axis] == 1)
        filled |= ndimage.binary_fill_holes(found, in_plane)
    return np.asarray(filled, np.bool_)


def _depth(head: Mask, zooms: Array) -> Array:
    """Distance (mm) of every voxel of the head from its surface; the border of the field of view is no surface."""
    from scipy import ndimage

    if not head.any() or head.all():
        return np.where(head, INSIDE_MM * 2, 0.0)
    return np.asarray(ndimage.distance_transform_edt(head, sampling=zooms))


def _bands(z: Array, head: Mask, depth: Array) -> list[float]:
    """By depth: percentiles 10, 50, 90 of the intensity, and the band's share of the head."""
    found: list[float] = []
    last = (0.0, 0.0, 0.0)
    for low, high in pairwise(BANDS_MM):
        band = z[head & (depth > low) & (depth <= high)]
        if band.size >= 30:
            p = np.percentile(band, (10, 50, 90))
            last = (float(p[0]), float(p[1]), float(p[2]))
        found += [*last, band.size / float(head.sum())]
    return found


def _texture(z: Array, inside: Mask, depth: Array) -> list[float]:
    """How the inside varies: its distribution, edges, bright and dark spots, and what goes with what."""
    from scipy import ndimage

    part = z[inside]
    centred = part - part.mean()
    sd = max(float(centred.std()), 1e-6)
    edges = np.sqrt(sum(g**2 for g in np.gradient(z)))
    around = ndimage.uniform_filter(z, 3, mode="nearest")
    bright = (z - ndimage.grey_opening(z, 3))[inside]
    dark = (ndimage.grey_closing(z, 3) - z)[inside]
    return [
        float((centred**3).mean() / sd**3), float(np.log1p((centred**4).mean() / sd**4)),
        float(edges[inside].mean() / sd), float(np.percentile(edges[inside], 95) / sd), float(bright.mean() / sd),
        float(dark.mean() / sd), float(around[inside].std() / sd), _correlation(part, depth[inside]),
        _correlation(part, edges[inside]),
    ]  # fmt: skip


def _correlation(a: Array, b: Array) -> float:
    """Pearson's r; 0 where one does not vary."""
    if a.std() < 1e-9 or b.std() < 1e-9:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])
