"""Linear alignment: sequences onto the session's reference, the reference's brain onto the template."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cairn.config.preprocess import RegistrationConfig
from cairn.io.geometry import resample
from cairn.preprocess.ants_bridge import Schedule, register
from cairn.preprocess.movement import movement
from cairn.preprocess.native import HOUNSFIELD, Array, Mask, NativeScan, Volume, block_mean
from cairn.preprocess.resources import Template

BINS = 32
SOFT_HU = (-200.0, 300.0)
# Measured on 85 pairs of the embedded cohort (T1w, T2w, FLAIR, DWI, ADC, SWI, T2*; slices to 6 mm): two levels at 2 mm
# without smoothing err by 0.34 mm and 0.19 degrees on average, 0.95 and 0.61 at most, in 0.3 s. Four levels of the
# package's default at 3 mm take 1.8 s; smoothing by one voxel blurs thick slices away and triples the error.
NEAR = Schedule((60, 10), (2, 1), (0, 0))
FAR = Schedule((200, 100, 50, 10), (6, 4, 2, 1), (3, 2, 1, 0))
# Heads that are not stripped: of CT on T1w, a phantom turned by 4 to 6 degrees, NEAR leaves 2 to 4 degrees, FAR 1 to 3;
# this, with four times the samples, 0.1 to 0.3, in 3 s. A level without shrinking adds nothing but time.
HEAD, HEAD_SAMPLES = Schedule((200, 100, 50), (6, 4, 2), (3, 2, 1)), 4
# From 10 mm and 10 degrees away one run in seven stops short; from 5 and 5 none does.
FAR_MM, FAR_DEGREES, RESTARTS = 5.0, 3.0, 3
# Brains come tilted by up to 25 degrees, and gradient descent turns slowly: first turn, then stretch; coarse, but with
# every voxel. Turned by 15 degrees beforehand, brains come out within 1.1 degrees on average and 3.2 at most; twelve
# parameters at once miss by up to 16, and a share of the voxels by 20.
TEMPLATE = Schedule((60,), (3,), (1,))


@dataclass(frozen=True)
class Coarse:
    """The reference as registration sees it: the brain's box with a margin, coarse, and the brain mask there."""

    data: Volume
    mask: Mask
    affine: Array
    centre: Array  # world mm of the brain's centre of mass
    head: bool = False  # it is not stripped: the mask is the head's


@dataclass(frozen=True)
class Rigid:
    """A sequence's place: reference world mm to its own world mm, how well it fits, and what mirroring would gain."""

    matrix: Array
    fit: float
    starts: int
    mirror_gain: float


def coarse_reference(scan: NativeScan, mask: Mask, config: RegistrationConfig, head: bool = False) -> Coarse:
    """Average the reference to the registration's spacing and cut it to the mask's box with the margin."""
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
    return Coarse(_window(data[box]), np.ascontiguousarray(inside[box]), moved, centre, head)


def rigid_to_reference(reference: Coarse, scan: NativeScan, to_template: Array, config: RegistrationConfig) -> Rigid:
    """Rigid transform of a sequence onto the reference.

    A session's scans share the scanner's coordinates, so identity is the first start. When the fit is poor, the
    search goes wider, also from where the centres of what is bright meet, and the best fit is kept.

    Args:
        reference: what `coarse_reference` gives.
        scan: the sequence.
        to_template: 4x4, template world to reference world, which knows where the brain's midplane is; `upright` for
            a head that no template was laid on.
        config: registration settings.
    """
    moving = block_mean(scan.data, scan.affine, config.spacing_mm)
    moving = (_window(moving[0]), moving[1])
    fixed = (reference.data, reference.affine)
    tried: list[tuple[float, Array]] = []
    here, centres = np.eye(4), _centre_start(reference, moving)
    searches = [(here, HEAD), (centres, HEAD)] if reference.head else [(here, NEAR), (here, FAR), (centres, FAR)]
    for start, levels in searches:
        samples = config.samples * (HEAD_SAMPLES if reference.head else 1)
        matrix = _settled(fixed, moving, start, replace(levels, samples=samples), reference.centre, config.seed)
        tried.append((similarity(reference, moving, matrix), matrix))
        if tried[-1][0] >= config.retry_below:
            break
    fit, matrix = max(tried, key=lambda t: t[0])
    return Rigid(matrix, fit, len(tried), _mirror_gain(reference, moving, matrix, fit, to_template, config))


def _settled(
    fixed: tuple[Volume, Array], moving: tuple[Volume, Array], start: Array, levels: Schedule, centre: Array, seed: int
) -> Array:
    """Register; after a long way, once more from where it arrived: gradient descent stops short of large movements."""
    for _ in range(RESTARTS):
        found = register(fixed, moving, "Rigid", start, levels, seed)
        mm, degrees = movement(found @ np.linalg.inv(start), start[:3, :3] @ centre + start[:3, 3])
        if mm < FAR_MM and degrees < FAR_DEGREES:
            break
        start = found
    return found


def _mirror_gain(
    reference: Coarse, moving: tuple[Volume, Array], matrix: Array, fit: float, to_template: Array,
    config: RegistrationConfig,
) -> float:  # fmt: skip
    """How much better the sequence fits when left and right are exchanged; a person's folds make it fit much worse.

    Mirrored about the template's midplane first; only when that costs less than half of the information, the mirrored
    scan is registered too, for a flipped scan lies a little beside its mirror image.
    """
    upright = rigid_part(to_template, reference.centre)
    upright[:3, 3] = to_template[:3, 3]  # the midplane's place is the template's origin
    mirror = upright @ np.diag([-1.0, 1.0, 1.0, 1.0]) @ np.linalg.inv(upright)
    gain = similarity(reference, moving, matrix @ mirror) - fit
    if gain < -0.5 * (fit - 1):
        return gain
    levels = replace(NEAR, samples=config.samples)
    turned = register((reference.data, reference.affine), moving, "Rigid", matrix @ mirror, levels, config.seed)
    return max(gain, similarity(reference, moving, turned) - fit)


def affine_to_template(scan: NativeScan, mask: Mask, template: Template, config: RegistrationConfig) -> Array:
    """4x4 from template world mm to the reference's world mm: twelve parameters, brain onto brain."""
    spacing = config.template_spacing_mm
    brain = _window(np.where(mask, scan.data, 0), mask)
    moving = block_mean(brain, scan.affine, spacing)
    fixed = template.coarse(spacing)
    start = np.eye(4)
    start[:3, 3] = box_centre(scan, mask) - template.centre
    turned = register(fixed, moving, "Rigid", start, TEMPLATE, config.seed)
    return register(fixed, moving, "Affine", turned, TEMPLATE, config.seed)


def upright(scan: NativeScan, mask: Mask) -> Array:
    """In place of `affine_to_template`, for a head that was not stripped: not turned, its midplane through its middle.

    4x4 from a world whose origin is the middle of the mask's box to the reference's world mm.
    """
    out = np.eye(4)
    out[:3, 3] = box_centre(scan, mask)
    return out


def box_centre(scan: NativeScan, mask: Mask) -> Array:
    """World mm of the centre of the mask's bounding box."""
    where = np.argwhere(mask)
    return np.asarray(scan.affine[:3, :3] @ ((where.min(0) + where.max(0)) / 2) + scan.affine[:3, 3])


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
    """Cut the brightest voxels off: eyes, fat and vessels would take most of the histogram's bins.

    Of Hounsfield units what lies between fat and blood is told apart; air, bone and metal would take all bins but few.
    """
    if data.min() < HOUNSFIELD:
        return np.asarray(np.clip(data, *SOFT_HU), np.float32)
    high = np.percentile(data if inside is None else data[inside], 99.5)
    return np.asarray(np.clip(data, None, high), np.float32)


def _centre_start(reference: Coarse, moving: tuple[Volume, Array]) -> Array:
    data, affine = moving
    bright = np.argwhere(data > data.mean())
    start = np.eye(4)
    start[:3, 3] = affine[:3, :3] @ bright.mean(0) + affine[:3, 3] - reference.centre
    return start
