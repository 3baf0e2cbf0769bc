"""Reading NIfTI files from strangers, each past the guard (`cairn.io.guard`), and writing our own."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from cairn.config.guard import GuardConfig
from cairn.io.atomic import atomic_path
from cairn.io.codes import Repair, refuse
from cairn.io.guard import Checked, check, check_extent, trailing
from cairn.io.members import open_member
from cairn.io.opening import CHUNK, Unpacked

LIMITS = GuardConfig()


@dataclass(frozen=True)
class Scan:
    """A checked 3D scan.

    Attributes:
        data: float32 ``[X, Y, Z]`` as stored.
        affine: 4x4 from voxels to world mm (RAS+).
        header_flip: whether the file's two transforms, qform and sform, disagree on left and right.
        repairs: what was mended.
    """

    data: npt.NDArray[np.float32]
    affine: npt.NDArray[np.float64]
    header_flip: bool = False
    repairs: tuple[Repair, ...] = ()

    @property
    def zooms(self) -> tuple[float, float, float]:
        """Voxel sizes in mm."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """A scan's file, which may lie in an archive, and its size; the one place where scans are opened."""
    with open_member(path) as opened:
        try:
            yield opened.file, opened.size
        except OSError as error:
            raise refuse(path, "unreadable", f"reading fails ({error.strerror or error})") from None
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:  # a gzip file's own are told by who unpacks it
            raise refuse(path, "archive", f"the archive is damaged there ({error or 'it ends too early'})") from None


def open_header(
    path: Path, limits: GuardConfig = LIMITS
) -> tuple[Checked, tuple[int, int, int], npt.NDArray[np.float64]]:
    """Check a scan's header: (what it says, 3D shape, affine); no voxel is read.

    Raises:
        CairnError: with a code of docs/reference/quarantine.md.
    """
    with _opened(path) as (stream, size):
        checked = check(path, stream, size, limits, sparse=True)
    return checked, checked.shape, checked.affine


def _voxels(path: Path, stream: BinaryIO, checked: Checked, limits: GuardConfig) -> tuple[npt.NDArray[Any], int]:
    """Voxels as stored, before their scaling, and how many bytes follow them.

    Raises:
        CairnError: code ``truncated``, ``corrupt`` or ``trailing``.
    """
    stream.seek(0)
    source = Unpacked(stream) if checked.packed else stream
    spare = int(limits.max_trailing_kib * 1024)
    try:
        _skip(source, checked.offset)
        raw = _exactly(source, checked.bytes)
        follows = 0  # a gzip file is read to its end: only there is the checksum compared
        while checked.packed and follows <= spare and (piece := source.read(CHUNK)):
            follows += len(piece)
    except EOFError as error:
        raise refuse(path, "truncated", f"the voxel data cannot be read ({error})") from None
    except zlib.error as error:
        raise refuse(path, "corrupt", f"the voxel data cannot be read ({error})") from None
    follows += source.garbage if isinstance(source, Unpacked) else 0
    if follows > spare:
        raise refuse(path, "trailing", f"more than {spare:,} bytes follow the voxels")
    return np.frombuffer(raw, checked.kind).reshape(checked.shape, order="F"), follows


def _slices(stored: npt.NDArray[Any], checked: Checked) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """Slice by slice with its number, scaled: float64 copies of a whole scan are three times what it takes."""
    from nibabel.volumeutils import apply_read_scaling

    for z in range(stored.shape[2]):
        with np.errstate(all="ignore"):
            one = stored[..., z] if checked.scaling is None else apply_read_scaling(stored[..., z], *checked.scaling)
        yield z, one


def _skip(source: BinaryIO | Unpacked, count: int) -> None:
    while count:
        piece = source.read(min(count, CHUNK))
        if not piece:
            raise EOFError("it ends before its voxels begin")
        count -= len(piece)


def _exactly(source: BinaryIO | Unpacked, count: int) -> bytearray:
    """``count`` bytes; pages of memory are taken as they are filled, so that a short file takes little."""
    out, at = bytearray(count), 0
    with memoryview(out) as view:
        while at < count:
            piece = source.read(min(count - at, CHUNK))
            if not piece:
                raise EOFError(f"it ends after {at:,} of {count:,} bytes")
            view[at : at + len(piece)] = piece
            at += len(piece)
    return out


def read_scan(path: Path, limits: GuardConfig = LIMITS) -> Scan:
    """Read and check one 3D scan.

    Raises:
        CairnError: with a code of docs/reference/quarantine.md.
    """
    with _opened(path) as (stream, size):
        return scan_from(path, stream, size, limits)


def scan_from(path: Path, stream: BinaryIO, size: int, limits: GuardConfig = LIMITS) -> Scan:
    """What `read_scan` gives, of a stream of ``size`` bytes that is open at its start; ``path`` is for messages."""
    checked = check(path, stream, size, limits)
    check_extent(path, checked, limits)
    stored, follows = _voxels(path, stream, checked, limits)
    repairs = [*checked.repairs, *([trailing(follows)] if follows else [])]
    data = np.empty(checked.shape, np.float32, order="F")
    for z, one in _slices(stored, checked):
        with np.errstate(all="ignore"):
            data[..., z] = one
    del stored
    bad = ~np.isfinite(data)
    if bad.any():
        if bad.mean() > limits.max_not_finite:
            raise refuse(path, "not-finite", f"{bad.mean():.1%} of the voxels are NaN or infinite")
        repairs.append(Repair("not-finite", f"{bad.sum()} NaN or infinite voxels were set to 0"))
        data[bad] = 0
    low, high = float(data.min()), float(data.max())
    if max(-low, high) > limits.max_intensity:
        raise refuse(path, "range", f"voxels reach {max(-low, high):g}")
    if low == high:
        raise refuse(path, "blank", "every voxel has the same value")
    return Scan(data, checked.affine, checked.header_flip, tuple(repairs))


def read_mask(path: Path) -> npt.NDArray[np.bool_]:
    """Read a mask (non-zero is inside); a wholly empty mask is valid.

    Raises:
        CairnError: what `read_label_map` raises.
    """
    return np.asarray(read_label_map(path) > 0)


def read_label_map(path: Path, most: int = 255) -> npt.NDArray[np.uint8]:
    """Read a mask of labels 0 to ``most`` (0 is outside).

    Raises:
        CairnError: what `open_header` raises; what a scan's voxels may raise; ``not-a-mask`` when values are not
            integers from 0 to 255; ``unknown-label`` for one beyond ``most``.
    """
    with _opened(path) as (stream, size):
        return labels_from(path, stream, size, most)


def labels_from(path: Path, stream: BinaryIO, size: int, most: int = 255) -> npt.NDArray[np.uint8]:
    """What `read_label_map` gives, of a stream of ``size`` bytes that is open at its start."""
    checked = check(path, stream, size, LIMITS, sparse=True)
    stored, _ = _voxels(path, stream, checked, LIMITS)
    labels = np.empty(checked.shape, np.uint8, order="F")
    for z, one in _slices(stored, checked):
        if not np.isfinite(one).all() or (one != np.round(one)).any() or one.min() < 0 or one.max() > 255:
            raise refuse(path, "not-a-mask", "not a label mask (integers from 0 to 255)")
        labels[..., z] = one
    if labels.max() > most:
        reason = f"label {int(labels.max())} is beyond {most}, the last one that the task knows"
        raise refuse(path, "unknown-label", reason)
    return labels


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
