"""Nerves and vessels beside the brain stem: thin tubes on the surface of the pons, in a cuff of CSF.

The trigeminal nerves run forward along both sides of the pons, the basilar artery climbs its front, and from it two
arteries a side wind round it, the upper one close to the nerve's root: the picture that trigeminal neuralgia is read
from. Tubes are placed by azimuth and height around the middle of the
pons, and by depth below the brain mask's surface, so that they lie inside the mask of any donor; there the cisterns of
packaged heads are narrow, so each tube brings its own CSF.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from cairn.cohort.anatomy import CSF, Anatomy
from cairn.cohort.draws import stream
from cairn.cohort.fields import step
from cairn.cohort.plan import Visit

Array = npt.NDArray[np.float64]
Range = tuple[float, float]
PONS = (0.5, 0.42)  # left to right and back to front in the brain's box, at any height of the stem
BLOCK = ((0.22, 0.78), (0.28, 0.74), (0.04, 0.46))  # part of the brain's box that holds every tube
REACH_MM: Range = (8.0, 22.0)  # how far from that middle the surface of the stem may lie
CUFF_MM = 2.2  # CSF around a tube
SAMPLE_MM = 0.4


@dataclass(frozen=True)
class Course:
    """A tube's way round the stem: azimuth (0 forward, 90 lateral) and height in the brain's box, start to end."""

    azimuth_deg: tuple[float, ...]
    height: tuple[float, ...]
    radius_mm: Range
    depth_mm: float
    sides: tuple[int, ...] = (-1, 1)


NERVES = (Course((80, 62, 48, 36), (0.275, 0.262, 0.25, 0.24), (1.6, 2.2), 3.6),)
VESSELS = (
    Course((0, 0, 0, 0, 0), (0.16, 0.19, 0.22, 0.255, 0.29), (1.4, 1.9), 2.8, (1,)),
    Course((0, 22, 45, 68, 88), (0.29, 0.295, 0.29, 0.285, 0.30), (0.8, 1.1), 2.6),
    Course((0, 25, 50, 75), (0.20, 0.205, 0.20, 0.195), (0.7, 1.0), 2.6),
)


def add_cistern(anatomy: Anatomy, visit: Visit) -> None:
    """Lay nerves and vessels over a filled map: overlays ``nerve`` and ``vessel``, each voxel's share of the tube."""
    stem = Stem(anatomy)
    nerve = stem.tubes(NERVES, visit, "nerve")
    vessel = stem.tubes(VESSELS, visit, "vessel")
    distance = torch.minimum(nerve[0], vessel[0])
    inside = step(anatomy.depth_mm - 0.5, 0.3)
    cuff = step(CUFF_MM - distance, 0.3 * anatomy.voxel_mm) * inside
    anatomy.fractions *= 1 - cuff
    anatomy.fractions[CSF] += cuff
    anatomy.residual = anatomy.residual * (1 - cuff)
    anatomy.overlays["nerve"] = nerve[1] * inside
    anatomy.overlays["vessel"] = torch.minimum(vessel[1] * inside, 1 - anatomy.overlays["nerve"])
    anatomy.fractions *= 1 - anatomy.overlays["nerve"] - anatomy.overlays["vessel"]


class Stem:
    """The part of a map around the brain stem, where tubes are drawn.

    Args:
        anatomy: the filled map.
    """

    def __init__(self, anatomy: Anatomy) -> None:
        self.voxel_mm, self.shape = anatomy.voxel_mm, anatomy.shape
        inside = torch.stack([(anatomy.box[k] > a) & (anatomy.box[k] < b) for k, (a, b) in enumerate(BLOCK)]).all(0)
        ends = [torch.nonzero(inside.any(dim=d).any(dim=e))[:, 0] for d, e in ((2, 1), (2, 0), (1, 0))]
        self.block = tuple(slice(int(e[0]), int(e[-1]) + 1) for e in ends)
        self.box = anatomy.box[(slice(None), *self.block)].numpy()
        self.depth = anatomy.depth_mm[self.block].numpy()

    def tubes(self, courses: tuple[Course, ...], visit: Visit, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Distance in mm to the surface of the nearest tube (99 far off), and share of each voxel that tubes fill."""
        from scipy.spatial import KDTree

        grid = np.stack(np.meshgrid(*map(np.arange, self.depth.shape), indexing="ij"), -1) * self.voxel_mm
        gap = np.full(self.depth.shape, 99.0)
        share = np.zeros(self.depth.shape)
        for number, course in enumerate(courses):
            for side in course.sides:
                rng = stream(*visit.draw(name, str(number), str(side)))
                radius = float(rng.uniform(*course.radius_mm))
                far, _ = KDTree(self.path(course, side, rng)).query(grid, distance_upper_bound=radius + 9)
                gap = np.minimum(gap, far - radius)
                share = np.maximum(share, tube_share(far, radius, self.voxel_mm))
        whole = torch.full(self.shape, 99.0), torch.zeros(self.shape)
        for out, part in zip(whole, (gap, share), strict=True):
            out[self.block] = torch.from_numpy(np.minimum(part, 99.0).astype(np.float32))
        return whole

    def path(self, course: Course, side: int, rng: np.random.Generator) -> Array:
        """Points along a tube, ``[N, 3]`` in mm of the block, about `SAMPLE_MM` apart."""
        from scipy.interpolate import make_interp_spline

        azimuth = np.deg2rad(np.array(course.azimuth_deg) + rng.normal(0, 5) + rng.normal(0, 3, len(course.height)))
        height = np.array(course.height) + rng.normal(0, 0.008) + rng.normal(0, 0.005, len(course.height))
        points = np.stack([self.surface(side * a, h, course.depth_mm) for a, h in zip(azimuth, height, strict=True)])
        spline = make_interp_spline(np.linspace(0, 1, len(points)), points, k=2)
        length = float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
        return np.asarray(spline(np.linspace(0, 1, max(8, int(length / SAMPLE_MM)))))

    def surface(self, azimuth: float, height: float, depth_mm: float) -> Array:
        """The first point on a ray from the middle of the pons that lies only ``depth_mm`` deep, mm of the block.

        Where the ray runs on into the temporal lobe: the shallowest point in reach, which is the cistern between.
        """
        from scipy.ndimage import map_coordinates

        goal = np.array([*PONS, height]).reshape(3, 1, 1, 1)
        middle = np.array(np.unravel_index(int(((self.box - goal) ** 2).sum(0).argmin()), self.depth.shape), float)
        reach = np.arange(*REACH_MM, self.voxel_mm / 4)
        way = np.array([np.sin(azimuth), np.cos(azimuth), 0.0])
        ray = middle[:, None] + way[:, None] * reach / self.voxel_mm
        depth = map_coordinates(self.depth, ray, order=1, mode="nearest")
        shallow = np.flatnonzero(depth <= depth_mm)
        at = int(shallow[0]) if len(shallow) else int(depth.argmin())
        return np.asarray(ray[:, at] * self.voxel_mm)


def tube_share(distance_mm: Array, radius_mm: float, voxel_mm: float) -> Array:
    """Share of a voxel that a tube fills, by the distance of the voxel's centre from the tube's axis.

    A tube thinner than a voxel fills at most its cross-section's share of the voxel's face.
    """
    most = min(1.0, np.pi * radius_mm**2 / voxel_mm**2)
    return np.minimum(np.clip((radius_mm - distance_mm) / voxel_mm + 0.5, 0, 1), most)
