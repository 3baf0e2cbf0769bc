"""A scan in memory: data turned to RAS order, and the way back to how it is stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.config.guard import GuardConfig
from cairn.io.codes import Repair
from cairn.io.nifti import LIMITS, read_scan

Array = npt.NDArray[Any]
Volume = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
AIR_HU = -1000.0
HOUNSFIELD = -500.0  # a scan with values below this is in Hounsfield units: no MR magnitude goes there


def air(sequence: str) -> float:
    """Raw value of what a scan does not cover: air for CT (a repeat such as ``CT_2`` included), 0 for MR."""
    return AIR_HU if sequence.split("_")[0] == "CT" else 0.0


@dataclass(frozen=True)
class NativeScan:
    """One checked scan.

    Attributes:
        data: float32 ``[X, Y, Z]``, axes permuted and flipped to RAS order (no interpolation).
        affine: 4x4 from RAS-ordered voxels to world mm.
        stored_shape: shape in the file.
        stored_affine: 4x4 of the file.
        header_flip: whether the file's two transforms, qform and sform, disagree on left and right.
        repairs: what the guard mended.
    """

    path: Path
    data: Volume
    affine: Array
    stored_shape: tuple[int, int, int]
    stored_affine: Array
    header_flip: bool
    repairs: tuple[Repair, ...] = ()

    @property
    def zooms(self) -> Array:
        """Voxel sizes of the RAS-ordered axes, mm."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))

    def stored_order(self, mask: Mask) -> Mask:
        """Turn a mask in RAS order back to the order of the file."""
        import nibabel as nib

        back = nib.orientations.ornt_transform(nib.io_orientation(self.affine), nib.io_orientation(self.stored_affine))
        return np.ascontiguousarray(nib.orientations.apply_orientation(mask, back))

    def ras_order(self, mask: Mask) -> Mask:
        """Turn a mask in the order of the file to RAS order."""
        return np.ascontiguousarray(to_ras(mask, self.stored_affine)[0])


def read_native(path: Path, limits: GuardConfig = LIMITS) -> NativeScan:
    """Read a scan through the guard of `cairn.io.nifti` and turn it to RAS order.

    Raises:
        CairnError: what `cairn.io.nifti.read_scan` raises.
    """
    scan = read_scan(path, limits)
    data, affine = to_ras(scan.data, scan.affine)
    x, y, z = scan.data.shape
    return NativeScan(
        path, np.ascontiguousarray(data, np.float32), affine, (x, y, z), scan.affine, scan.header_flip, scan.repairs
    )


def to_ras(data: Array, affine: Array) -> tuple[Array, Array]:
    """Permute and flip axes to RAS order; the data and their affine."""
    import nibabel as nib

    orientation = nib.io_orientation(affine)
    turned = nib.orientations.apply_orientation(data, orientation)
    return turned, affine @ nib.orientations.inv_ornt_aff(orientation, data.shape)


def block_mean(data: Array, affine: Array, spacing_mm: float) -> tuple[Volume, Array]:
    """Average whole blocks of voxels to about ``spacing_mm``: exact, without interpolation, and fast.

    Axes coarser than ``spacing_mm`` stay as they are. Returns the volume and its affine.
    """
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    factors = [max(1, min(n, int(spacing_mm / z + 0.5))) for z, n in zip(zooms, data.shape, strict=True)]
    counts = [n // f for n, f in zip(data.shape, factors, strict=True)]
    cut = data[tuple(slice(0, c * f) for c, f in zip(counts, factors, strict=True))]
    for axis, (count, factor) in enumerate(zip(counts, factors, strict=True)):
        if factor > 1:
            shape = [*cut.shape[:axis], count, factor, *cut.shape[axis + 1 :]]
            cut = cut.reshape(shape).mean(axis=axis + 1, dtype=np.float32)
    to_fine = np.eye(4)
    to_fine[:3, :3] = np.diag(factors)
    to_fine[:3, 3] = [(f - 1) / 2 for f in factors]
    return np.ascontiguousarray(cut, np.float32), affine @ to_fine
