"""An analytic head: intensity is a formula of world mm, so that every pose and every grid has an exact truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from cairn.io.nifti import write_scan
from cairn.preprocess.resources import Resources

RESOURCES = Resources(Path("no-archives-here"))  # shared, for reading the brain template takes a third of a second
RADII = np.array([66.0, 82.0, 60.0])
CENTRE = np.array([4.0, -9.0, 6.0])
#            air  csf  grey  white scalp
CONTRASTS = {
    "T1w": (0.02, 0.2, 0.6, 1.0, 1.2),
    "T2w": (0.02, 1.4, 0.8, 0.55, 0.9),
    "FLAIR": (0.02, 0.15, 0.9, 0.65, 0.8),
    "DWI": (0.02, 0.2, 0.8, 0.6, 0.1),
}
SHAPES = {"T1w": (88, 104, 88), "T2w": (100, 112, 34), "FLAIR": (100, 112, 34), "DWI": (88, 96, 36)}
ZOOMS = {"T1w": (2.0, 2.0, 2.0), "T2w": (1.8, 1.8, 5.0), "FLAIR": (1.8, 1.8, 5.0), "DWI": (2.2, 2.2, 5.0)}


def tissues(points: np.ndarray) -> np.ndarray:
    """Tissue index (0 air, 1 CSF, 2 grey, 3 white, 4 scalp) at world mm ``[..., 3]``; not symmetric, folded."""
    x, y, z = np.moveaxis(points - CENTRE, -1, 0)
    radius = np.sqrt((x / RADII[0]) ** 2 + (y / RADII[1]) ** 2 + (z / RADII[2]) ** 2)
    folds = np.sin(x / 6.5 + 0.02 * y) * np.sin(y / 8 + 0.4) * np.cos(z / 7 - 0.01 * x)
    out = np.where(radius < 0.86 + 0.09 * folds, 3, 2)
    out = np.where(radius > 0.97 + 0.04 * folds, 1, out)
    for middle, size in (((12, 4, 8), (7, 26, 9)), ((-11, -2, 9), (9, 30, 8)), ((-30, 30, 10), (7, 6, 7))):
        inside = sum(((a - m) / s) ** 2 for a, m, s in zip((x, y, z), middle, size, strict=True)) < 1
        out = np.where(inside & (radius < 0.9), 1, out)
    out = np.where(radius > 1, 0, out)
    return np.where((radius > 1.12) & (radius < 1.25), 4, out)


def brain(points: np.ndarray) -> np.ndarray:
    """Whether world mm ``[..., 3]`` are brain (fluid inside the dura included)."""
    return (((points - CENTRE) / RADII) ** 2).sum(-1) <= 1


def pose(rotation_degrees: tuple[float, float, float], shift_mm: tuple[float, float, float]) -> np.ndarray:
    """4x4: rotation about the brain's centre, then a shift."""
    out = np.eye(4)
    out[:3, :3] = Rotation.from_euler("xyz", rotation_degrees, degrees=True).as_matrix()
    out[:3, 3] = CENTRE + shift_mm - out[:3, :3] @ CENTRE
    return out


def grid(sequence: str, tilt: float = 0.0, flip: tuple[int, ...] = ()) -> tuple[tuple[int, int, int], np.ndarray]:
    """Shape and affine of a scan centred on the head, tilted about x, with ``flip`` axes counting down."""
    shape, zooms = SHAPES[sequence], np.array(ZOOMS[sequence])
    turn = Rotation.from_euler("x", tilt, degrees=True).as_matrix() @ np.diag(zooms)
    for axis in flip:
        turn[:, axis] *= -1
    affine = np.eye(4)
    affine[:3, :3] = turn
    affine[:3, 3] = CENTRE - turn @ (np.array(shape) - 1) / 2
    return shape, affine


def points_of(shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    """World mm of every voxel centre."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1)
    return index @ affine[:3, :3].T + affine[:3, 3]


def scan(
    sequence: str, shape: tuple[int, int, int], affine: np.ndarray, moved: np.ndarray | None = None, seed: int = 0
) -> np.ndarray:
    """A scan of the head after it ``moved`` (reference world to this scan's world): slices averaged, Rician noise."""
    back = np.linalg.inv(np.eye(4) if moved is None else moved)
    values = np.array(CONTRASTS[sequence])
    total = np.zeros(shape, np.float32)
    steps = (-0.3, 0.0, 0.3)
    for step in steps:
        points = points_of(shape, affine) + step * affine[:3, 2]
        total += values[tissues(points @ back[:3, :3].T + back[:3, 3])].astype(np.float32)
    noise = np.random.default_rng(seed).normal(0, 0.03, (2, *shape)).astype(np.float32)
    out = np.hypot(total / len(steps) + noise[0], noise[1])
    return np.round(out * 1000).astype(np.int16)


def write_head(
    folder: Path, sequence: str, moved: np.ndarray | None = None, tilt: float = 0.0, flip: tuple[int, ...] = (),
    seed: int = 0,
) -> Path:  # fmt: skip
    """Write one scan and, beside it, its true brain mask ``{sequence}_mask.nii.gz``."""
    shape, affine = grid(sequence, tilt, flip)
    path = folder / f"{sequence}.nii.gz"
    write_scan(path, scan(sequence, shape, affine, moved, seed), affine)
    back = np.linalg.inv(np.eye(4) if moved is None else moved)
    inside = brain(points_of(shape, affine) @ back[:3, :3].T + back[:3, 3])
    write_scan(folder / f"{sequence}_mask.nii.gz", inside.astype(np.uint8), affine)
    return path


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Dice of two masks."""
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))
