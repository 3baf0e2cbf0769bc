"""Heads of which a sequence model learns and on which it is judged: embedded donors under scanners drawn at random.

A site's habits would teach the site (its only T2* sequence has 3 mm slices); so every head that is trained on has a
scanner of its own, with contrasts, voxels, noise and field of view drawn widely. The heads that it is judged on are
other donors at the cohort's sites, none of which it has met.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from cairn.cohort.draws import stream
from cairn.cohort.plan import TUMOUR_SITES, Case, Finding, Visit
from cairn.config.cohort import Protocol, Sequence, Site
from cairn.preprocess.native import Array, Mask, Volume
from cairn.preprocess.sequence_model import OTHER

if TYPE_CHECKING:
    from cairn.cohort.anatomy import LoadedDonor

SEQUENCES: tuple[Sequence, ...] = get_args(Sequence)
ORIENTATIONS = ("LPS", "RAS", "LAS", "PSR", "LIP", "ASL", "RPI")
RELEASES: tuple[Literal["full", "defaced", "tight"], ...] = ("full", "full", "defaced", "tight")
FINDINGS: tuple[Finding, ...] = ("none", "none", "infarct", "mimic", "meningioma", "radiology")


@dataclass(frozen=True)
class Example:
    """A made scan: ``[X, Y, Z]`` with its affine, what it is, and what is brain on its grid (None: nothing is)."""

    name: str
    sequence: str
    data: Volume
    affine: Array
    brain: Mask | None


def drawn_site(*key: str | int) -> Site:
    """A scanner that nobody has."""
    rng = stream("sequence-site", *key)

    def protocol() -> Protocol:
        fine = rng.random() < 0.3
        plane = float(rng.uniform(0.8, 2.2))
        thick = plane if fine else float(rng.uniform(1.5, 6.5))
        turned = str(rng.choice(ORIENTATIONS))
        return Protocol(in_plane_mm=plane, slice_mm=thick, gap_mm=0 if fine else float(rng.uniform(0, 1)),
                        orientation=turned)  # fmt: skip

    release = RELEASES[int(rng.integers(len(RELEASES)))]
    return Site(
        scanner="drawn", protocols={s: protocol() for s in SEQUENCES}, noise=float(rng.uniform(0.005, 0.05)),
        bias=float(rng.uniform(0.03, 0.25)), contrast=float(rng.uniform(0.04, 0.16)), jitter=0.04,
        gain=float(np.exp(rng.uniform(np.log(5), np.log(4000)))), ct_noise_hu=float(rng.uniform(2, 8)),
        oblique_deg=float(rng.uniform(0, 15)), epi_distortion_mm=float(rng.uniform(0, 3)), release=release,
    )  # fmt: skip


def drawn_visit(seed: int, donor: str, number: int, site: str) -> Visit:
    """A person with all sequences and a finding or none."""
    key = (seed, "sequence-model", donor, number)
    rng = stream(*key, "visit")
    finding = FINDINGS[int(rng.integers(len(FINDINGS)))]
    tumour = TUMOUR_SITES[int(rng.integers(len(TUMOUR_SITES)))]
    case = Case("subdural" if rng.random() < 0.5 else "intraparenchymal", False, tumour, False)
    return Visit(
        "sequence-model", f"{donor}-{number:03d}", "1", seed, None, finding, donor, site, float(rng.uniform(20, 90)),
        "FM"[int(rng.integers(2))], SEQUENCES, case=case if finding == "radiology" else None,
    )  # fmt: skip


def scans_of(donor: LoadedDonor, visit: Visit, site: Site, voxel_mm: float, coarsen: float) -> Iterator[Example]:
    """Every sequence that the site acquires of a visit."""
    from cairn.cohort.ct import acquire_ct, attenuation
    from cairn.cohort.scanner import acquire, distortion, poses, prescribe, take
    from cairn.cohort.signal import signal
    from cairn.cohort.subject import make_anatomy

    acquired = tuple(s for s in visit.sequences if s in site.protocols)
    visit = replace(visit, sequences=acquired)
    anatomy, pose = make_anatomy(donor, visit, voxel_mm), poses(visit, site)
    for sequence in acquired:
        lie = pose[visit.reference]
        grid = prescribe(anatomy, visit, site, sequence, site.protocols[sequence], coarsen, lie)
        if sequence == "CT":
            scan = acquire_ct(anatomy, attenuation(anatomy, visit, site), visit, site, grid, pose[sequence])
        else:
            image = signal(anatomy, visit, site, sequence)
            scan = acquire(anatomy, image, visit, site, sequence, grid, pose[sequence])
        warp = distortion(site, sequence)
        brain = take(anatomy, anatomy.brain[None], grid, pose[sequence], warp)[0].numpy() >= 0.5
        name = f"{visit.subject} {visit.site} {sequence}"
        yield Example(name, sequence, scan.astype(np.float32), grid.affine, brain)


def perturbed(example: Example, rng: np.random.Generator) -> Example:
    """The same scan as another archive might hold it: cut, in thick slices, noisy, in another unit, below zero."""
    data: Any = example.data
    affine, brain = example.affine.copy(), example.brain
    if rng.random() < 0.5:  # a cut field of view
        axis, share = int(rng.integers(3)), rng.uniform(0.02, 0.18)
        n = data.shape[axis]
        cut = slice(int(n * share), None) if rng.random() < 0.5 else slice(0, n - int(n * share))
        at = (slice(None),) * axis + (cut,)
        data, brain = data[at], None if brain is None else brain[at]
    if rng.random() < 0.3:
        axis = int(rng.integers(3))
        if np.linalg.norm(affine[:3, axis]) < 3.5:
            data, brain = _thick(data, axis), None if brain is None else _thick(brain, axis)
            affine[:3, axis] *= 2
    if example.sequence != "CT":
        high = float(np.percentile(data, 99)) or 1.0
        if rng.random() < 0.4:
            data = data + rng.normal(0, rng.uniform(0.005, 0.04) * high, data.shape)
        if rng.random() < 0.3:
            data = high * np.clip(data / high, 0, None) ** rng.uniform(0.85, 1.18)
        if rng.random() < 0.3:
            data = data - min(rng.uniform(0.1, 1.0) * high, 300.0)  # lower is Hounsfield units
    return replace(example, data=np.asarray(data, np.float32), affine=affine, brain=brain)


def stripped(example: Example) -> Example:
    """The same scan with all but the brain set to 0."""
    assert example.brain is not None, "asked of heads alone"
    data = np.where(example.brain, example.data, np.float32(0))
    return replace(example, name=f"{example.name} stripped", data=data)


def counter_examples(example: Example, rng: np.random.Generator) -> Iterator[Example]:
    """What is no scan of a head, made of one: noise, its blocks in disorder, a map of labels, noise of its outline."""
    data, brain = example.data, example.brain
    high = float(np.percentile(data, 99)) or 1.0

    def other(name: str, made: Any) -> Example:
        return Example(f"{example.name} {name}", OTHER, np.asarray(made, np.float32), example.affine, None)

    yield other("noise", _smooth(rng, data.shape, rng.uniform(0, 6)) * high)
    yield other("disorder", _shuffled(data, rng))
    levels = np.digitize(data, np.percentile(data[data > data.min()], np.sort(rng.uniform(2, 98, 5))))
    labels = rng.permutation(6)[levels] * (brain if brain is not None and rng.random() < 0.5 else levels > 0)
    yield other("labels", labels)
    if brain is not None:
        yield other("outline", np.where(brain, 1 + 0.3 * _smooth(rng, data.shape, rng.uniform(0, 5)), 0) * high)


def _thick(data: Any, axis: int) -> Any:
    n = data.shape[axis] // 2 * 2
    at = (slice(None),) * axis
    first, second = data[(*at, slice(0, n, 2))], data[(*at, slice(1, n, 2))]
    return first & second if data.dtype == bool else (first + second) / 2


def _smooth(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> Array:
    from scipy import ndimage

    field = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), sigma)
    return np.asarray(field / max(float(field.std()), 1e-9))


def _shuffled(data: Volume, rng: np.random.Generator) -> Volume:
    """Blocks of a sixth of each side, in another order."""
    sides = [max(1, n // 6) for n in data.shape]
    a, b, c = (n // s * s for n, s in zip(data.shape, sides, strict=True))
    x, y, z = sides
    blocks = data[:a, :b, :c].reshape(a // x, x, b // y, y, c // z, z).transpose(0, 2, 4, 1, 3, 5)
    mixed = blocks.reshape(-1, x, y, z)[rng.permutation(blocks.shape[0] * blocks.shape[1] * blocks.shape[2])]
    turned = mixed.reshape(blocks.shape).transpose(0, 3, 1, 4, 2, 5)
    return np.ascontiguousarray(turned.reshape(a, b, c))
