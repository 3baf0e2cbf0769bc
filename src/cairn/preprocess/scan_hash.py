"""A perceptual hash of a preprocessed volume: equal scans have near hashes, whatever was done to their files.

Signs of a volume's cosine coefficients, as in the perceptual hashes of photographs (Zauner 2010, "Implementation and
benchmarking of perceptual image hash functions"), with what brains in one space ask for:

- only the brain counts, clipped and standardised inside its mask: gain, offset and header edits change nothing;
- waves of 20 to 70 mm: longer ones are shared by all heads and carry the bias field, shorter ones do not survive that
  a copy is registered a second time;
- coefficients are integrals over millimetres, not voxels: grids of different spacing give near hashes, and nothing is
  resampled;
- the window is centred on the mask's centroid, which a cropped field of view moves less than the mask's box;
- a head seen in a mirror flips the sign of every wave that is odd from left to right, so one hash gives the other.

Distances that were measured, between copies and between people: docs/reference/leakage.md.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.io.boxes import box_of
from cairn.io.shard import PreprocessedSession

Array = npt.NDArray[Any]
BITS = 1024
WINDOW_MM = (168.0, 204.0, 168.0)
WAVES_MM = (20.0, 70.0)
CLIP_PERCENT = (1.0, 99.0)


@cache
def waves() -> npt.NDArray[np.int64]:
    """Half-waves across the window of each bit's coefficient, ``[BITS, 3]``: evenly out of the band, by frequency."""
    most = [int(2 * side / WAVES_MM[0]) + 1 for side in WINDOW_MM]
    orders = np.stack(np.meshgrid(*map(np.arange, most), indexing="ij"), axis=-1).reshape(-1, 3)
    per_mm = np.sqrt(((orders / (2 * np.array(WINDOW_MM))) ** 2).sum(axis=1))
    kept = (per_mm >= 1 / WAVES_MM[1]) & (per_mm <= 1 / WAVES_MM[0])
    orders, per_mm = orders[kept], per_mm[kept]
    orders = orders[np.argsort(per_mm, kind="stable")]
    return np.asarray(orders[np.linspace(0, len(orders) - 1, BITS).round().astype(int)], np.int64)


@cache
def mirror_mask() -> npt.NDArray[np.uint8]:
    """Bits that a mirrored head flips, packed ``[BITS / 8]``: waves that are odd from left to right."""
    return np.packbits(waves()[:, 0] % 2 == 1)


def scan_hash(volume_XYZ: Array, mask_XYZ: Array, affine: Array) -> npt.NDArray[np.uint8]:
    """Hash of one volume, packed ``[BITS / 8]``.

    Args:
        volume_XYZ: values on a grid whose axes are those of the world.
        mask_XYZ: where they count; not empty.
        affine: 4x4 from voxels to world mm.
    """
    box = box_of(mask_XYZ)
    inside = mask_XYZ[box]
    values = volume_XYZ[box][inside].astype(np.float64)
    values = np.clip(values, *np.percentile(values, CLIP_PERCENT))
    standard = np.zeros(inside.shape)
    standard[inside] = (values - values.mean()) / max(float(values.std()), 1e-9)
    centre = np.argwhere(inside).mean(axis=0)
    orders = waves()
    found: Array = standard
    for axis, (side, step) in enumerate(zip(WINDOW_MM, np.diag(affine), strict=False)):
        mm = (np.arange(inside.shape[axis]) - centre[axis]) * step
        cosines = np.cos(np.pi * np.outer(mm / side + 0.5, np.arange(orders[:, axis].max() + 1)))
        cosines[np.abs(mm) > side / 2] = 0.0
        found = np.tensordot(found, cosines, axes=(0, 0))  # the axis goes last: three times, and the order is as before
    return np.packbits(found[tuple(orders.T)] > 0)


def session_hashes(session: PreprocessedSession) -> dict[str, str]:
    """Hexadecimal hash of every volume of a session, by sequence."""
    mask = session.mask if session.mask.any() else np.ones_like(session.mask)
    return {
        name: scan_hash(volume, mask, session.geometry.affine).tobytes().hex()
        for name, volume in session.volumes.items()
    }
