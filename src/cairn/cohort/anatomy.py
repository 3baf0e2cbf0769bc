"""A subject's tissue map: a donor's head, reshaped, aged, and with its findings.

Coordinates: *anatomical mm* have their origin in the middle of the brain's box, axes RAS. The map is a grid of
``voxel_mm`` in them; `Anatomy.affine` leads from its voxels to anatomical mm.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from cairn.cohort.donor import Donor
from cairn.cohort.draws import stream
from cairn.cohort.fields import deformation, mesh, noise, sample, smooth, step
from cairn.cohort.plan import Visit
from cairn.cohort.tissue import TISSUES

CSF, GM, DGM, WM, BONE, FAT, MUSCLE = range(len(TISSUES))
TYPICAL_BRAIN_ML = 1450.0  # donors are scaled to it, before each subject's own size
SHAPE_MM, SHAPE_SIGMA_MM = 2.2, 32.0
GROWTH_MM = 14.0  # how far around the ventricles tissue gives way
# Ventricles at 20 years and what they gain by 90, and the spread of their logarithm between people of one age: about
# what large studies of normal ageing report; wide enough that ventricles alone tell an age only to a decade or so.
VENTRICLE_ML = (13.0, 38.0)
VENTRICLE_SPREAD = 0.33

Matrix = npt.NDArray[np.float64]


class LoadedDonor:
    """A donor as tensors: all maps in one stack, and the field along which its ventricles grow."""

    def __init__(self, donor: Donor) -> None:
        t = donor.tissues
        self.name = donor.name
        self.voxel_mm = donor.voxel_mm
        self.brain_ml = donor.brain_ml
        maps = [*t.fractions, t.residual, t.ventricle_mm, t.depth_mm]
        self.maps = torch.from_numpy(np.stack(maps))
        self.box_low, self.box_high = (torch.from_numpy(b).view(3, 1, 1, 1) for b in (t.box_low, t.box_high))

    @cached_property
    def growth(self) -> torch.Tensor:
        """Unit displacement ``[3, x, y, z]`` on every second voxel: away from the ventricles, fading with distance."""
        distance = smooth(self.maps[-2, ::2, ::2, ::2].contiguous(), 1.0)
        slope = torch.stack(torch.gradient(distance))
        slope = slope / (slope.norm(dim=0, keepdim=True) + 0.3)
        return slope * _growth_at(distance)

    @cached_property
    def _reach(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Distances from the ventricles' surface (mm), and the volume that lies within each (ml)."""
        distances = np.arange(-4.0, 10.0, 0.25).astype(np.float64)
        inside = np.sort(self.maps[-2][self.maps[-2] < distances[-1]].numpy())
        return distances, np.searchsorted(inside, distances) * self.voxel_mm**3 / 1000

    def growth_to(self, ventricle_ml: float) -> float:
        """Factor on `growth` that brings the ventricles to a volume, in the donor's own size."""
        distances, volumes = self._reach
        moved = float(np.interp(ventricle_ml, volumes, distances))
        return moved / float(_growth_at(torch.tensor(moved)))


def _growth_at(distance_mm: torch.Tensor) -> torch.Tensor:
    """How much of the growth at the ventricles' surface is seen at a distance from it."""
    return torch.exp(-((distance_mm.clamp(min=0) / GROWTH_MM) ** 2)) * step(distance_mm + 4, 1.5)


@dataclass
class Anatomy:
    """A subject's tissue map.

    ``fractions`` ``[7, X, Y, Z]`` (what is left to 1 is air), ``residual``, ``ventricle_mm`` and ``depth_mm`` as in
    `cairn.cohort.tissue.Tissues`, ``box`` ``[3, X, Y, Z]`` the place in the brain's box (0 to 1), and soft overlays.
    """

    voxel_mm: float
    affine: Matrix
    fractions: torch.Tensor
    residual: torch.Tensor
    ventricle_mm: torch.Tensor
    depth_mm: torch.Tensor
    box: torch.Tensor
    ageing: float
    overlays: dict[str, torch.Tensor] = field(default_factory=dict)
    _fields: dict[str, torch.Tensor] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Grid shape."""
        x, y, z = self.depth_mm.shape
        return x, y, z

    @property
    def brain(self) -> torch.Tensor:
        """Share of brain tissue and CSF inside the brain mask."""
        return step(self.depth_mm, 0.3 * self.voxel_mm)

    def ml(self, share: torch.Tensor) -> float:
        """Volume of a soft map."""
        return float(share.sum()) * self.voxel_mm**3 / 1000

    @property
    def ventricle_ml(self) -> float:
        """CSF inside the ventricles."""
        return self.ml(self.fractions[CSF] * (self.ventricle_mm < 1))

    def field(self, visit: Visit, purpose: str, sigma_mm: float) -> torch.Tensor:
        """A smooth random field on the map, by purpose."""
        return noise(stream(*visit.draw(purpose)), self.shape, [self.voxel_mm] * 3, sigma_mm)

    def kept_field(self, visit: Visit, purpose: str, sigma_mm: float) -> torch.Tensor:
        """The same, made once and kept for the next sequence."""
        if purpose not in self._fields:
            self._fields[purpose] = self.field(visit, purpose, sigma_mm)
        return self._fields[purpose]


@dataclass(frozen=True)
class Frame:
    """Where each voxel of a subject's map lies in its donor (donor mm), before and after findings move tissue."""

    donor: LoadedDonor
    affine: Matrix
    points_mm: torch.Tensor  # [3, X, Y, Z], from the first donor voxel

    def pick(self, maps: torch.Tensor, every: int = 1) -> torch.Tensor:
        """Sample donor maps (on every n-th donor voxel) at the points."""
        return sample(maps, self.points_mm / (self.donor.voxel_mm * every))

    @property
    def box(self) -> torch.Tensor:
        """Place in the donor's brain box, 0 to 1 along each axis."""
        low, high = self.donor.box_low * self.donor.voxel_mm, self.donor.box_high * self.donor.voxel_mm
        return (self.points_mm - low) / (high - low)

    def moved(self, points_mm: torch.Tensor) -> Frame:
        """The same frame with other points."""
        return Frame(self.donor, self.affine, points_mm)


def make_frame(donor: LoadedDonor, visit: Visit, voxel_mm: float) -> Frame:
    """A subject's shape: size, proportions, shear, smooth deformation, and ventricles that grow with age."""
    rng = stream(*visit.draw("shape"))
    size = (donor.brain_ml / TYPICAL_BRAIN_ML) ** (1 / 3) * np.exp(rng.normal(0, 0.035, 3)) / visit.head_scale
    matrix = _turn(rng.normal(0, 0.04, 3)) @ np.diag(size) + np.triu(rng.normal(0, 0.012, (3, 3)), 1)
    extent = (np.array(donor.maps.shape[1:]) - 1) * donor.voxel_mm
    middle = ((donor.box_low + donor.box_high) / 2).flatten().numpy().astype(float) * donor.voxel_mm
    shape = [int(np.ceil(e / s / voxel_mm)) + 1 for e, s in zip(extent, size, strict=True)]
    affine = np.diag([voxel_mm] * 3 + [1.0])
    affine[:3, 3] = -middle / size
    to_donor = np.eye(4)
    to_donor[:3, :3], to_donor[:3, 3] = matrix, middle
    points = mesh(shape, to_donor @ affine) + deformation(rng, shape, voxel_mm, SHAPE_MM, SHAPE_SIGMA_MM)
    frame = Frame(donor, affine, points)
    target_ml = (VENTRICLE_ML[0] + VENTRICLE_ML[1] * max(0.0, ageing(visit.age_years)) ** 1.6) * np.exp(
        rng.normal(0, VENTRICLE_SPREAD)
    )
    growth = donor.growth_to(float(target_ml * np.prod(size)))
    return frame.moved(points - growth * frame.pick(donor.growth, every=2))


def ageing(age_years: float) -> float:
    """0 at 20 years, 1 at 90."""
    return (age_years - 20) / 70


def atrophy(visit: Visit) -> float:
    """How far a subject's sulci have widened: 0 not at all, about 1 at 90 years, with a spread between people."""
    return max(0.0, ageing(visit.age_years) + float(stream(*visit.draw("sulci")).normal(0, 0.17)))


def fill(frame: Frame, visit: Visit, voxel_mm: float) -> Anatomy:
    """The tissue map at a frame's points, with sulci that widen with age."""
    maps = frame.pick(frame.donor.maps)
    fractions, (residual, ventricle, depth) = maps[: len(TISSUES)].clamp(0, 1), maps[len(TISSUES) :]
    s = atrophy(visit)
    near_fluid = smooth(fractions[CSF], 1.2 / voxel_mm)
    widening = torch.minimum(1.3 * s**1.3 * fractions[GM] * near_fluid, 0.8 * fractions[GM]) * step(depth, 0.5)
    fractions[CSF] += widening
    fractions[GM] -= widening
    return Anatomy(voxel_mm, frame.affine, fractions, residual, ventricle, depth, frame.box, ageing(visit.age_years))


def _turn(angles: npt.NDArray[np.float64]) -> Matrix:
    """Rotation by small angles (radians) about x, y, z in turn."""
    out = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = [(1, 2), (2, 0), (0, 1)][axis]
        r = np.eye(3)
        r[a, a] = r[b, b] = np.cos(angle)
        r[a, b], r[b, a] = -np.sin(angle), np.sin(angle)
        out = out @ r
    return out


def rotation(angles_rad: npt.NDArray[np.float64]) -> Matrix:
    """4x4 rotation by angles about x, y, z in turn."""
    out = np.eye(4)
    out[:3, :3] = _turn(angles_rad)
    return out
