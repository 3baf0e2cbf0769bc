"""Where a scan lies in the world, by a header that may contradict itself: the affine, and what was mended for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.config.guard import GuardConfig
from cairn.io.codes import Repair, refuse
from cairn.io.nifti_header import Header

Array = npt.NDArray[np.float64]

KNOWN_CODES = range(1, 6)  # scanner, aligned, Talairach, MNI 152, other template; anything else says nothing
UNITS = {1: ("m", 1e3), 3: ("µm", 1e-3)}
FAR_MM = 1e5  # no scanner's table moves that far
SIZE_TOLERANCE = 0.05  # between pixdim and the sform: less is rounding
FLAT = 0.1  # volume of a voxel over the product of its sides
NORM_TOLERANCE = 3 * float(np.finfo(np.float32).eps)  # of a quaternion; as stored, its numbers are rounded


@dataclass(frozen=True)
class Placement:
    """4x4 from voxels to world mm (RAS+), repairs, and whether qform and sform exchange left and right."""

    affine: Array
    repairs: tuple[Repair, ...]
    flipped: bool


def place(path: Path, header: Header, shape: tuple[int, int, int], limits: GuardConfig) -> Placement:
    """The sform where there is one, else the qform, else the voxel sizes alone, as nifti1.h has it.

    Raises:
        CairnError: code ``affine``, ``voxel-size``, ``left-right`` or ``no-orientation``.
    """
    repairs: list[Repair] = []
    flipped = False
    if header.sform_code in KNOWN_CODES:
        affine = np.vstack([header.srow, [0.0, 0.0, 0.0, 1.0]])
        affine = _checked(path, affine, header, limits, repairs)
        repairs += _sizes(header, affine)
        flipped = _against_qform(path, header, limits, repairs)
    else:
        affine = _without_sform(path, header, shape, limits, repairs)
    return Placement(affine, tuple(repairs), flipped)


def _without_sform(
    path: Path, header: Header, shape: tuple[int, int, int], limits: GuardConfig, repairs: list[Repair]
) -> Array:
    sizes = np.abs(header.pixdim[1:4])
    if not (np.isfinite(sizes).all() and sizes.all()):
        listed = " x ".join(f"{z:g}" for z in sizes)
        raise refuse(path, "voxel-size", f"voxel size {listed}, and no sform that tells it")
    if header.qform_code in KNOWN_CODES:
        affine = _qform(header)
        if affine is None:
            raise refuse(path, "affine", "the qform is no rotation, and there is no sform")
    else:
        if limits.no_orientation == "refuse":
            raise refuse(path, "no-orientation", "neither qform nor sform tells left from right")
        text = "neither qform nor sform tells left from right; the first voxels are taken for the patient's right"
        repairs.append(Repair("no-orientation", text))
        affine = np.diag([-sizes[0], sizes[1], sizes[2], 1.0])
        affine[:3, 3] = -(np.array(shape) - 1) / 2 * np.diag(affine)[:3]
    return _checked(path, affine, header, limits, repairs)


def _checked(path: Path, affine: Array, header: Header, limits: GuardConfig, repairs: list[Repair]) -> Array:
    """``affine`` in mm, which is finite, near, of possible voxel sizes and not flat."""
    if not np.isfinite(affine).all():
        raise refuse(path, "affine", "the affine holds NaN or infinity")
    low, high = limits.voxel_mm
    with np.errstate(over="ignore"):
        scale = _to_mm(header, affine, limits, repairs)
        affine = np.diag([scale, scale, scale, 1.0]) @ affine if scale != 1 else affine
        zooms = np.linalg.norm(affine[:3, :3], axis=0)
    if not ((zooms >= low) & (zooms <= high)).all():
        listed = " x ".join(f"{z:g}" for z in zooms)
        raise refuse(path, "voxel-size", f"voxel size {listed} mm is impossible for a head scan")
    if abs(np.linalg.det(affine[:3, :3] / zooms)) < FLAT:
        raise refuse(path, "affine", "the affine is degenerate (its axes are not independent)")
    if np.abs(affine[:3, 3]).max() > FAR_MM:
        raise refuse(path, "affine", f"the affine puts the scan {np.abs(affine[:3, 3]).max():g} mm away")
    return affine


def _to_mm(header: Header, affine: Array, limits: GuardConfig, repairs: list[Repair]) -> float:
    """Factor that brings the sizes to mm. A unit that makes them impossible, where they are possible mm, is ignored."""
    if header.units not in UNITS:
        return 1.0
    name, scale = UNITS[header.units]
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    low, high = limits.voxel_mm
    if ((zooms * scale >= low) & (zooms * scale <= high)).all():
        repairs.append(Repair("units", f"sizes in {name} were brought to mm"))
        return scale
    repairs.append(Repair("units", f"the header says {name}, and the sizes are taken for mm"))
    return 1.0


def _sizes(header: Header, affine: Array) -> list[Repair]:
    """A repair where the header's voxel sizes are not those of the sform (before it was brought to mm)."""
    sizes, sform = np.abs(header.pixdim[1:4]), np.linalg.norm(header.srow[:, :3], axis=0)
    if np.isfinite(sizes).all() and (np.abs(sizes - sform) <= SIZE_TOLERANCE * sform).all():
        return []
    listed = " x ".join(f"{z:g}" for z in header.pixdim[1:4])
    zooms = " x ".join(f"{z:g}" for z in np.linalg.norm(affine[:3, :3], axis=0))
    return [Repair("pixdim", f"the header has voxel size {listed}, its sform {zooms} mm, which is followed")]


def _against_qform(path: Path, header: Header, limits: GuardConfig, repairs: list[Repair]) -> bool:
    if header.qform_code not in KNOWN_CODES:
        return False
    if _rotation(header.quatern) is None or not np.isfinite(header.qoffset).all():
        repairs.append(Repair("qform", "the qform is no rotation; the sform is followed"))
        return False
    if header.pixdim[0] not in (-1, 0, 1):  # the sign of the qform's third axis is lost
        repairs.append(Repair("qform", f"the qform's sign is {header.pixdim[0]:g}; the sform is followed"))
        return False
    flipped = bool((np.linalg.det(header.srow[:, :3]) < 0) != (header.pixdim[0] == -1))
    if flipped:
        text = "qform and sform put the patient's left on different sides"
        if limits.left_right == "refuse":
            raise refuse(path, "left-right", text)
        repairs.append(Repair("left-right", f"{text}; the sform is followed"))
    return flipped


def _qform(header: Header) -> Array | None:
    rotation = _rotation(header.quatern)
    if rotation is None:
        return None
    sizes = np.abs(header.pixdim[1:4])
    sizes[2] *= -1 if header.pixdim[0] == -1 else 1
    out = np.eye(4)
    out[:3, :3] = rotation @ np.diag(sizes)
    out[:3, 3] = header.qoffset
    return out


def _rotation(quatern: Array) -> npt.NDArray[Any] | None:
    """3x3, long floats, of a unit quaternion of which three numbers are stored; None where there is no fourth."""
    from nibabel.quaternions import fillpositive, quat2mat

    if not (np.isfinite(quatern).all() and (np.abs(quatern) <= 2).all()):
        return None
    try:
        return np.asarray(quat2mat(fillpositive(quatern, NORM_TOLERANCE)))
    except ValueError:
        return None
