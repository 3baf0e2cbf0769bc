"""The scanner: where the patient lies, which slices are taken, and what noise and coils add.

*Scanner mm* are a scan's world coordinates as its header gives them. The patient lies a little differently in every
scan, which the header does not know: ``pose`` (4x4) leads from anatomical mm to the scanner mm of one scan.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from cairn.cohort.anatomy import Anatomy, Matrix, rotation
from cairn.cohort.draws import stream
from cairn.cohort.fields import mesh, noise, sample
from cairn.cohort.plan import Visit
from cairn.cohort.signal import DIFFUSION, sinus
from cairn.config.cohort import Protocol, Sequence, Site

BIAS_MM = 55.0  # smoothness of the bias field
TIGHT_MM = 9.0  # what a tight field of view keeps around the brain
SHIFT_MM, TILT_DEG = 12.0, 4.0  # how patients lie in the coil, standard deviation per axis
CT_MOTION = 2.0  # CT is taken on another machine: the patient lies more differently than between two MR sequences
NOISE_FACTOR = {"DWI": 1.6, "ADC": 1.3, "SWI": 1.2, "T2star": 1.2}


@dataclass(frozen=True)
class Grid:
    """A scan's own grid: shape, 4x4 voxel-to-scanner mm, and the profile along the slice axis (offsets in voxels)."""

    shape: tuple[int, int, int]
    affine: Matrix
    profile: tuple[float, ...]


def poses(visit: Visit, site: Site) -> dict[str, Matrix]:
    """Pose of the patient in every scan of a visit; the reference scan's holds no motion."""
    rng = stream(*visit.draw("pose"))
    lie = rotation(np.deg2rad(rng.normal(0, TILT_DEG, 3)))
    lie[:3, 3] = rng.normal(0, SHIFT_MM, 3)
    out: dict[str, Matrix] = {}
    for sequence in visit.sequences:
        rng = stream(*visit.draw("motion", exam(sequence)))
        far = CT_MOTION if sequence == "CT" else 1.0
        moved = rotation(np.deg2rad(rng.normal(0, site.motion_deg * far, 3)))
        moved[:3, 3] = rng.normal(0, site.motion_mm * far, 3)
        out[sequence] = lie if exam(sequence) == exam(visit.reference) else moved @ lie
    return out


def exam(sequence: Sequence) -> str:
    """What is measured at once: ADC is computed from the diffusion scan and shares its grid and pose."""
    return "diffusion" if sequence in DIFFUSION else sequence


def prescribe(
    anatomy: Anatomy, visit: Visit, site: Site, sequence: Sequence, protocol: Protocol, coarsen: float, lie: Matrix
) -> Grid:
    """The grid on which a sequence is taken: oriented as the protocol says, tilted by the technician, over the head."""
    rng = stream(*visit.draw("prescription", exam(sequence)))
    plane = protocol.in_plane_mm * coarsen
    thick = max(protocol.slice_mm, plane)
    zooms = np.array([plane, plane, thick + protocol.gap_mm])
    letters = ("LR", "PA", "IS")
    axes = np.zeros((3, 3))
    for voxel_axis, letter in enumerate(protocol.orientation):
        world_axis = next(k for k, pair in enumerate(letters) if letter in pair)
        axes[world_axis, voxel_axis] = 1.0 if letter == letters[world_axis][1] else -1.0
    limit = site.oblique_deg
    tilt = rotation(np.deg2rad(rng.uniform(-limit, limit, 3)))
    linear = tilt[:3, :3] @ axes * zooms
    low, high = _extent(anatomy, site)
    corners = np.array(
        [[x, y, z, 1.0] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])]
    )
    corners = (lie @ corners.T)[:3].T
    middle = (corners.min(0) + corners.max(0)) / 2 + rng.normal(0, 1.5, 3)
    size = np.abs(axes).T @ (high - low)
    shape = [int(n) for n in np.ceil(size / zooms) + 1]
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = middle - linear @ ((np.array(shape) - 1) / 2)
    count = max(1, round(thick / anatomy.voxel_mm))
    profile = (np.arange(count) + 0.5) / count - 0.5
    offsets = tuple(float(p) for p in profile * thick / zooms[2])
    return Grid((shape[0], shape[1], shape[2]), affine, offsets)


def _extent(anatomy: Anatomy, site: Site) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Corners of what is scanned, in anatomical mm: the whole map, or little more than the brain, ear to ear."""
    low, high = np.zeros(3), (np.array(anatomy.shape) - 1) * anatomy.voxel_mm
    if site.release == "tight":
        inside = (anatomy.depth_mm > 0).numpy()
        for axis, others in ((1, (0, 2)), (2, (0, 1))):
            ends = np.flatnonzero(inside.any(axis=others))[[0, -1]] * anatomy.voxel_mm
            low[axis], high[axis] = ends[0] - TIGHT_MM, ends[1] + TIGHT_MM
    return low + anatomy.affine[:3, 3], high + anatomy.affine[:3, 3]


def take(
    anatomy: Anatomy, maps_CXYZ: torch.Tensor, grid: Grid, pose: Matrix, distortion_mm: float = 0.0
) -> torch.Tensor:
    """Maps ``[C, ...]`` of a subject as a scan's grid sees them, averaged over the slice profile.

    ``distortion_mm`` shifts what is seen above the sinuses from back to front, as in echo-planar scans.
    """
    to_map = np.linalg.inv(anatomy.affine) @ np.linalg.inv(pose) @ grid.affine
    total = torch.zeros((maps_CXYZ.shape[0], *grid.shape))
    for offset in grid.profile:
        shift = np.eye(4)
        shift[2, 3] = offset
        points = mesh(grid.shape, to_map @ shift)
        if distortion_mm:
            warp = sample(sinus(anatomy.box)[None], points, "zeros")[0]
            points[1] += warp * (distortion_mm / anatomy.voxel_mm)
        total += sample(maps_CXYZ, points, "zeros")
    return total / len(grid.profile)


def acquire(
    anatomy: Anatomy, image: torch.Tensor, visit: Visit, site: Site, sequence: Sequence, grid: Grid, pose: Matrix
) -> npt.NDArray[np.int16]:
    """One raw scan: the signal on the scan's grid, with bias, Rician noise and the site's intensity unit."""
    image = image * _coil(anatomy) if sequence != "ADC" else image
    if site.release == "defaced":
        image = image * (1 - face(anatomy))
    scan = take(anatomy, image[None], grid, pose, distortion(site, sequence))[0]
    zooms = np.linalg.norm(grid.affine[:3, :3], axis=0)
    rng = stream(*visit.draw("noise", sequence))
    head = scan > 0.03
    if sequence != "ADC":
        scan = scan * torch.exp(site.bias * noise(rng, grid.shape, zooms.tolist(), BIAS_MM).clamp(-2, 2))
    sd = site.noise * NOISE_FACTOR.get(sequence, 1.0) * float(np.prod(zooms)) ** -0.15
    real, imaginary = (torch.from_numpy(rng.standard_normal(grid.shape, dtype=np.float32)) * sd for _ in range(2))
    scan = torch.sqrt((scan + real) ** 2 + imaginary**2)
    scan = scan * head * 1000 if sequence == "ADC" else scan * site.gain
    return np.asarray(scan.round().clamp(0, 32000).numpy(), np.int16)


def distortion(site: Site, sequence: Sequence) -> float:
    """Largest echo-planar displacement of a sequence at a site, in mm."""
    return site.epi_distortion_mm if sequence in DIFFUSION else 0.0


def _coil(anatomy: Anatomy) -> torch.Tensor:
    """Sensitivity ``[1, 1, Z]``: full over the brain, falling off down the neck."""
    z = torch.arange(anatomy.shape[2], dtype=torch.float32) * anatomy.voxel_mm
    return torch.sigmoid((z - 12) / 4).view(1, 1, -1)


def face(anatomy: Anatomy) -> torch.Tensor:
    """1 in front of and below the frontal lobes, outside the brain: what a defacing tool removes."""
    front = anatomy.box[1] - 0.80 - 0.35 * anatomy.box[2].clamp(min=0)
    low = 0.38 - anatomy.box[2]
    return ((front > 0) & (low > 0) & (anatomy.depth_mm < -3)).float()
