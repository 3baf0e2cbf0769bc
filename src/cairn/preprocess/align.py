"""Linear alignment: sequences onto the session's reference, the reference's brain onto the template."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cairn.config.preprocess import RegistrationConfig
from cairn.io.geometry import resample
from cairn.preprocess.ants_bridge import register
from cairn.preprocess.native import Array, Mask, NativeScan, Volume, block_mean
from cairn.preprocess.resources import Template

BINS = 32


@dataclass(frozen=True)
class Coarse:
    """The reference as registration sees it: the brain's box with a margin, coarse, and the brain mask there."""

    data: Volume
    mask: Mask
    affine: Array
    centre: Array  # world mm of the brain's centre of mass


@dataclass(frozen=True)
class Rigid:
    """A sequence's place: reference world mm to its own world mm, how well it fits, and what mirroring would gain."""

    matrix: Array
    fit: float
    starts: int
    mirror_gain: float


def coarse_reference(scan: NativeScan, mask: Mask, config: RegistrationConfig) -> Coarse:
    """Average the reference to the registration's spacing and cut it to the brain's box with the margin."""
    data, affine = block_mean(scan.data, scan.affine, config.spacing_mm)
    inside = block_mean(mask.astype(np.float32), scan.affine, config.spacing_mm)[0] >= 0.5
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    where = np.argwhere(inside)
    pad = np.ceil(config.margin_mm / zooms).astype(int)
    low, high = np.maximum(where.min(0) - pad, 0), np.minimum(where.max(0) + 1 + pad, data.shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    centre = affine[:3, :3] @ where.mean(0) + affine[:3, 3]
    moved = affine.copy()
    moved[:3, 3] = affine[:3, :3] @ low + affine[:3, 3]
    return Coarse(_window(data[box]), np.ascontiguousarray(inside[box]), moved, centre)


def rigid_to_reference(reference: Coarse, scan: NativeScan, to_template: Array, config: RegistrationConfig) -> Rigid:
    """Rigid transform of a sequence onto the reference.

    A session's scans share the scanner's coordinates, so identity is the first start. When the fit is poor, the
    centres of what is bright are brought together, and the best fit is kept.

    Args:
        reference: what `coarse_reference` gives.
        scan: the sequence.
        to_template: 4x4, template world to reference world, which knows where the brain's midplane is.
        config: registration settings.
    """
    moving = block_mean(scan.data, scan.affine, config.spacing_mm)
    moving = (_window(moving[0]), moving[1])
    fixed = (reference.data, reference.affine)
    tried: list[tuple[float, Array]] = []
    for start in (np.eye(4), _centre_start(reference, moving)):
        matrix = register(fixed, moving, "Rigid", start, config.sampling_rate, config.seed)
        tried.append((similarity(reference, moving, matrix), matrix))
        if tried[-1][0] >= config.retry_below:
            break
    fit, matrix = max(tried, key=lambda t: t[0])
    mirror = to_template @ np.diag([-1.0, 1.0, 1.0, 1.0]) @ np.linalg.inv(to_template)
    gain = similarity(reference, moving, matrix @ mirror) - fit
    return Rigid(matrix, fit, len(tried), gain)


def affine_to_template(scan: NativeScan, mask: Mask, template: Template, config: RegistrationConfig) -> Array:
    """4x4 from template world mm to the reference's world mm: twelve parameters, brain onto brain."""
    spacing = config.template_spacing_mm
    brain = _window(np.where(mask, scan.data, 0), mask)
    moving = block_mean(brain, scan.affine, spacing)
    fixed = block_mean(template.data * template.mask, template.affine, spacing)
    inside = np.argwhere(mask)
    start = np.eye(4)
    start[:3, 3] = scan.affine[:3, :3] @ ((inside.min(0) + inside.max(0)) / 2) + scan.affine[:3, 3] - template.centre
    return register(fixed, moving, "Affine", start, max(config.sampling_rate, 0.2), config.seed)


def rigid_part(affine: Array, centre: Array) -> Array:
    """The rotation nearest to ``affine`` (polar decomposition), which moves ``centre`` as ``affine`` does."""
    from scipy.linalg import polar

    rotation, _ = polar(affine[:3, :3])
    out = np.eye(4)
    out[:3, :3] = rotation
    out[:3, 3] = affine[:3, :3] @ centre + affine[:3, 3] - rotation @ centre
    return out


def similarity(reference: Coarse, moving: tuple[Volume, Array], matrix: Array) -> float:
    """Normalised mutual information (Studholme et al. 1999), 1 to 2, of the brain's voxels that ``moving`` covers."""
    step = np.linalg.inv(moving[1]) @ matrix @ reference.affine
    carried = resample(moving[0], step, reference.data.shape)
    covered = resample(np.ones(moving[0].shape, np.float32), step, reference.data.shape, order=0) > 0
    inside = reference.mask & covered
    if inside.sum() < 0.2 * reference.mask.sum():
        return 1.0
    return mutual_information(reference.data[inside], carried[inside])


def mutual_information(a: Array, b: Array) -> float:
    """Normalised mutual information of two samples, (H(a) + H(b)) / H(a, b), over 32 bins of equal content."""
    joint = np.histogram2d(_ranked(a), _ranked(b), bins=BINS, range=[[0, BINS], [0, BINS]])[0]
    p = joint / joint.sum()
    together = _entropy(p.ravel())
    return (_entropy(p.sum(0)) + _entropy(p.sum(1))) / together if together > 0 else 1.0


def _ranked(values: Array) -> Array:
    edges = np.percentile(values, np.linspace(0, 100, BINS + 1)[1:-1])
    return np.searchsorted(edges, values) + 0.5


def _entropy(p: Array) -> float:
    positive = p[p > 0]
    return float(-(positive * np.log(positive)).sum())


def _window(data: Array, inside: Mask | None = None) -> Volume:
    """Cut the brightest voxels off: eyes, fat and vessels would take most of the histogram's bins."""
    high = np.percentile(data if inside is None else data[inside], 99.5)
    return np.asarray(np.clip(data, None, high), np.float32)


def _centre_start(reference: Coarse, moving: tuple[Volume, Array]) -> Array:
    data, affine = moving
    bright = np.argwhere(data > data.mean())
    start = np.eye(4)
    start[:3, 3] = affine[:3, :3] @ bright.mean(0) + affine[:3, 3] - reference.centre
    return start
