"""Opening NIfTI files from strangers: every header is checked before its data are read.

nibabel accepts zero voxel sizes, singular affines and infinite slopes, and will allocate whatever a header asks for.
"""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.errors import CairnError
from cairn.io.atomic import atomic_path
from cairn.io.members import is_member, open_member

MAX_VOXELS = 1024**3 // 2  # 2 GiB as float32
MIN_ZOOM_MM, MAX_ZOOM_MM = 0.05, 30.0
UNREADABLE = (OSError, EOFError, ValueError, OverflowError, zlib.error, zipfile.BadZipFile)
RECONVERT = "Convert the scan again from its DICOM source."


@dataclass(frozen=True)
class Scan:
    """A checked 3D scan: float32 ``[X, Y, Z]`` as stored, and its 4x4 voxel-to-world (mm, RAS+)."""

    data: npt.NDArray[np.float32]
    affine: npt.NDArray[np.float64]

    @property
    def zooms(self) -> tuple[float, float, float]:
        """Voxel sizes in mm."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)


def _fail(path: Path, code: str, reason: str, remedy: str) -> CairnError:
    return CairnError(f"{path}: {reason}.", remedy, code=code)


def open_header(path: Path) -> tuple[Any, tuple[int, int, int], npt.NDArray[np.float64]]:
    """Open and check a NIfTI header: (nibabel image, 3D shape, affine); no voxel is read.

    Raises:
        CairnError: with code ``missing``, ``not-nifti``, ``not-3d``, ``too-large``, ``too-thin``, ``voxel-size``,
            ``affine``, ``scaling`` or ``datatype``.
    """
    import nibabel as nib
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    with open_member(path) as opened:
        if opened.size == 0:
            raise _fail(path, "truncated", "the file is empty", "Copy the file again from its source.")
    try:
        image: Any = _from_archive(path) if is_member(path) else nib.load(path)  # type: ignore[attr-defined]
    except (ImageFileError, HeaderDataError, *UNREADABLE) as error:
        raise _fail(path, "not-nifti", f"not a readable NIfTI file ({_first_line(error)})", RECONVERT) from None
    if not isinstance(image, nib.Nifti1Image | nib.Nifti1Pair):
        raise _fail(path, "not-nifti", f"a {type(image).__name__}, not NIfTI", "Convert it to .nii.gz.")
    shape = tuple(int(n) for n in image.shape)
    if len(shape) > 3 and all(n == 1 for n in shape[3:]):
        shape = shape[:3]
    if len(shape) != 3:
        raise _fail(
            path, "not-3d", f"{len(shape)}D data of shape {'x'.join(map(str, shape))} where one 3D volume is meant",
            "Split the series, or average it, into 3D volumes (for DWI: the trace at one b-value).",
        )  # fmt: skip
    if min(shape) < 2:
        raise _fail(path, "too-thin", f"shape {'x'.join(map(str, shape))} is no volume", RECONVERT)
    if np.prod(np.array(shape, float)) > MAX_VOXELS:
        raise _fail(path, "too-large", f"shape {'x'.join(map(str, shape))} asks for too much memory", RECONVERT)
    if np.issubdtype(image.get_data_dtype(), np.complexfloating) or image.get_data_dtype().fields:
        raise _fail(path, "datatype", f"voxel type {image.get_data_dtype()} is no intensity", RECONVERT)
    stored = _stored_header(image)
    if np.isinf(stored["scl_slope"]):
        raise _fail(path, "scaling", "the slope of the intensity scaling is infinite", RECONVERT)
    return image, (shape[0], shape[1], shape[2]), _checked_affine(path, image, stored)


def _from_archive(path: Path) -> Any:
    """The image of an archive's member: its bytes stay compressed in memory, nothing touches the disk."""
    import nibabel as nib

    holder = nib.FileHolder(fileobj=_member_stream(path))  # type: ignore[attr-defined]
    return nib.Nifti1Image.from_file_map({"image": holder})  # type: ignore[attr-defined]


def _member_stream(path: Path) -> Any:
    with open_member(path) as opened:
        stored = io.BytesIO(opened.file.read())
    return gzip.GzipFile(fileobj=stored) if path.suffix == ".gz" else stored


def _stored_header(image: Any) -> Any:
    """The header as it stands in the file: nibabel mends zero voxel sizes and drops infinite slopes as it loads."""
    kind, files = type(image.header), image.file_map
    with files.get("header", files["image"]).get_prepare_fileobj("rb") as file:
        return kind(file.read(kind.template_dtype.itemsize), check=False)


def _checked_affine(path: Path, image: Any, stored: Any) -> npt.NDArray[np.float64]:
    affine = np.asarray(image.affine, float)
    if not np.isfinite(affine).all():
        raise _fail(path, "affine", "the affine holds NaN or infinity", RECONVERT)
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    header_zooms = np.abs(np.asarray(stored["pixdim"][1:4], float))
    for values in (zooms, header_zooms):
        if not ((values >= MIN_ZOOM_MM) & (values <= MAX_ZOOM_MM)).all():
            sizes = " x ".join(f"{z:g}" for z in values)
            raise _fail(path, "voxel-size", f"voxel size {sizes} mm is impossible for a head scan", RECONVERT)
    if abs(np.linalg.det(affine[:3, :3] / zooms)) < 0.1:
        raise _fail(path, "affine", "the affine is degenerate (its axes are not independent)", RECONVERT)
    return affine


def _voxels(path: Path, image: Any, shape: tuple[int, int, int]) -> npt.NDArray[Any]:
    data = np.asarray(image.dataobj).reshape(shape)
    _check_checksum(path, int(image.dataobj.offset) + data.size * image.get_data_dtype().itemsize)
    return data


def _check_checksum(path: Path, size: int) -> None:
    """Read a gzip file past its ``size`` bytes: only at its end is the checksum compared, and nibabel stops before."""
    if path.suffix == ".gz":
        with _member_stream(path) if is_member(path) else gzip.open(path) as file:
            while file.tell() <= size and file.read(1 << 20):
                pass


def read_scan(path: Path) -> Scan:
    """Read and check one 3D scan.

    Raises:
        CairnError: what `open_header` raises; ``truncated`` when data are missing; ``not-finite`` above 1 % NaN or
            infinite voxels (fewer are set to 0); ``blank`` when the volume is constant.
    """
    image, shape, affine = open_header(path)
    try:
        raw = _voxels(path, image, shape)
    except UNREADABLE as error:
        raise _fail(
            path, "truncated", f"the voxel data cannot be read ({_first_line(error)})",
            "Copy the file again from its source.",
        ) from None  # fmt: skip
    data = np.asarray(raw, np.float32)
    bad = ~np.isfinite(data)
    if bad.mean() > 0.01:
        raise _fail(path, "not-finite", f"{bad.mean():.0%} of the voxels are NaN or infinite", RECONVERT)
    if bad.any():
        data = np.where(bad, np.float32(0), data)
    if float(data.min()) == float(data.max()):
        raise _fail(path, "blank", "every voxel has the same value", "Remove the scan, or export it again.")
    return Scan(data, affine)


def read_mask(path: Path) -> npt.NDArray[np.bool_]:
    """Read a mask (non-zero is inside); a wholly empty mask is valid.

    Raises:
        CairnError: what `read_label_map` raises.
    """
    return np.asarray(read_label_map(path) > 0)


def read_label_map(path: Path, most: int = 255) -> npt.NDArray[np.uint8]:
    """Read a mask of labels 0 to ``most`` (0 is outside).

    Raises:
        CairnError: what `open_header` raises; ``truncated``; ``not-a-mask`` when values are not integers from 0 to 255;
            ``unknown-label`` for one beyond ``most``.
    """
    image, shape, _ = open_header(path)
    try:
        data = _voxels(path, image, shape)
    except UNREADABLE as error:
        reason = f"the voxel data cannot be read ({_first_line(error)})"
        raise _fail(path, "truncated", reason, "Copy the file again from its source.") from None
    if not np.isfinite(data).all() or (data != np.round(data)).any() or data.min() < 0 or data.max() > 255:
        raise _fail(path, "not-a-mask", "not a label mask (integers from 0 to 255)", "Export the mask as uint8.")
    if data.max() > most:
        reason = f"label {int(data.max())} is beyond {most}, the last one that the task knows"
        raise _fail(path, "unknown-label", reason, "Mend the mask, or name its labels in 'classes'.")
    return np.asarray(data, np.uint8)


def write_scan(path: Path, data: npt.NDArray[Any], affine: npt.NDArray[Any]) -> None:
    """Write a NIfTI file atomically; ``.gz`` without a time stamp, so that equal data give equal bytes."""
    import nibabel as nib

    image = nib.Nifti1Image(data, affine)  # type: ignore[attr-defined]
    image.header.set_xyzt_units("mm", "sec")
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    payload = image.to_bytes()
    with atomic_path(path) as temporary:
        temporary.write_bytes(gzip.compress(payload, 1, mtime=0) if path.suffix == ".gz" else payload)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
