"""The guard at the door for strangers' scans: a header is judged before memory is taken for what it claims.

It passes, is repaired, or is refused by a code of `cairn.io.codes`. nibabel would accept zero voxel sizes, singular
affines and infinite slopes, and allocate whatever a header asks for.
"""

from __future__ import annotations

import io
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from cairn.config.guard import GuardConfig
from cairn.errors import CairnError
from cairn.io.codes import Repair, refuse
from cairn.io.nifti_header import (
    DATATYPES,
    NO_INTENSITY,
    START,
    Header,
    announced,
    extension_fault,
    is_pointer,
    other_format,
    parse_header,
)
from cairn.io.opening import GZIP, Unpacked
from cairn.io.placement import place

GZIP_BEST = 1040  # deflate ends at 1032 to 1
GZIP_WORST = 1.01  # what cannot be packed grows by less
SMALL_BYTES = 32 << 20  # a bomb of less harms nobody


@dataclass(frozen=True)
class Checked:
    """A header that passed, and how to read what it describes.

    Attributes:
        shape: of the volume.
        affine: 4x4 from voxels to world mm (RAS+).
        kind: how a voxel is stored.
        offset: byte, once unpacked, at which the voxels begin.
        scaling: slope and intercept, or None where voxels are as stored.
        packed: whether the file is a gzip stream.
        header_flip: whether qform and sform exchange the patient's left and right.
        repairs: what was mended.
    """

    shape: tuple[int, int, int]
    affine: npt.NDArray[np.float64]
    kind: np.dtype[np.generic]
    offset: int
    scaling: tuple[float, float] | None
    packed: bool
    header_flip: bool
    repairs: tuple[Repair, ...]

    @property
    def bytes(self) -> int:
        """Size of the voxels, unpacked."""
        return math.prod(self.shape) * self.kind.itemsize


def check(path: Path, stream: BinaryIO, size: int, limits: GuardConfig, sparse: bool = False) -> Checked:
    """Judge a scan by its first bytes.

    Args:
        path: for messages; only the end of its name is looked at.
        stream: the file, at its start.
        size: of the file as it is stored.
        limits: the configured ones.
        sparse: whether any ratio of compression is fine, as for masks.

    Raises:
        CairnError: with a code of `cairn.io.codes`.
    """
    start, packed = _start(path, stream, size)
    header = parse_header(start)
    if header is None or not header.single:
        raise _no_header(path, start, header)
    repairs: list[Repair] = []
    if packed != (path.suffix == ".gz"):
        repairs.append(Repair("packing", f"the content is {'' if packed else 'not '}packed by gzip, against its name"))
    shape = _shape(path, header, limits, repairs)
    kind = _kind(path, header, repairs)
    offset = _offset(path, header, start, limits, repairs)
    wanted = math.prod(shape) * kind.itemsize
    if wanted > limits.max_data_mib * 2**20:
        raise refuse(path, "too-large", f"the header asks for {wanted / 2**20:,.0f} MiB of voxels")
    repairs += _room(path, size, offset + wanted, packed, limits, sparse)
    scaling = _scaling(path, header, repairs)
    placed = place(path, header, shape, limits)
    return Checked(shape, placed.affine, kind, offset, scaling, packed, placed.flipped, (*repairs, *placed.repairs))


def check_extent(path: Path, checked: Checked, limits: GuardConfig) -> None:
    """Refuse a scan that is too small or too large for a head.

    Raises:
        CairnError: code ``extent``.
    """
    low, high = limits.extent_mm
    longest = float((np.linalg.norm(checked.affine[:3, :3], axis=0) * checked.shape).max())
    if not low <= longest <= high:
        raise refuse(path, "extent", f"the scan's longest side is {longest:g} mm; a head has {low:g} to {high:g}")


def _start(path: Path, stream: BinaryIO, size: int) -> tuple[bytes, bool]:
    """A file's first bytes, unpacked, and whether they were packed."""
    if size == 0:
        raise refuse(path, "truncated", "the file is empty")
    first = stream.read(START)
    if first[:2] != GZIP:
        return first, False
    unpacked, out = Unpacked(io.BytesIO(first)), b""
    try:
        while len(out) < START and (piece := unpacked.read(START - len(out))):
            out += piece
    except EOFError:
        pass  # the rest of the file was not given
    except zlib.error as error:
        if not announced(out):
            raise refuse(path, "corrupt", f"the compressed data are damaged ({error})") from None
    if out[:2] == GZIP:
        raise refuse(path, "double-gz", "the file was packed by gzip twice")
    return out, True


def _no_header(path: Path, start: bytes, header: Header | None) -> CairnError:
    if header is not None:
        if header.paired:
            return refuse(path, "pair", "the header of a pair of files (.hdr and .img)")
        words = f"the header's mark is {header.magic!r}, not that of NIfTI" if header.magic else "an Analyze 7.5 file"
        return refuse(path, "not-nifti", words)
    if is_pointer(start):
        return refuse(path, "pointer", "a pointer of Git LFS or git-annex to content that is not here")
    if announced(start):
        return refuse(path, "truncated", f"the file ends after {len(start)} of its header's {announced(start)} bytes")
    if not start:
        return refuse(path, "truncated", "nothing comes out of the compressed file")
    return refuse(path, "not-nifti", other_format(start) or "the content is no NIfTI file")


def _shape(path: Path, header: Header, limits: GuardConfig, repairs: list[Repair]) -> tuple[int, int, int]:
    axes, dim = header.dim[0], header.dim
    if not 1 <= axes <= 7:
        raise refuse(path, "dimensions", f"the header has {axes} axes; 1 to 7 are possible")
    if any(n < 1 for n in dim[1 : axes + 1]):
        raise refuse(path, "dimensions", f"an axis of length {min(dim[1 : axes + 1])}")
    lengths = list(dim[1 : axes + 1])
    while len(lengths) > 3 and lengths[-1] == 1:
        lengths.pop()
    words = "x".join(map(str, lengths))
    if len(lengths) != 3:
        raise refuse(path, "not-3d", f"{len(lengths)}D data of shape {words} where one 3D volume is meant")
    if axes > 3:
        repairs.append(Repair("extra-axis", f"{axes - 3} axes of length 1 were dropped"))
    if min(lengths) < limits.min_slices:
        raise refuse(path, "too-thin", f"shape {words} has fewer than {limits.min_slices} slices")
    if math.prod(lengths) > limits.max_voxels:
        raise refuse(path, "too-large", f"shape {words} asks for more than {limits.max_voxels:,} voxels")
    return lengths[0], lengths[1], lengths[2]


def _kind(path: Path, header: Header, repairs: list[Repair]) -> np.dtype[np.generic]:
    if header.datatype not in DATATYPES:
        name = NO_INTENSITY.get(header.datatype, f"number {header.datatype}")
        raise refuse(path, "datatype", f"voxel type {name} is no intensity")
    kind = np.dtype(DATATYPES[header.datatype]).newbyteorder(header.order)
    if header.bitpix != 8 * kind.itemsize:
        text = f"{header.bitpix} bits per voxel against {8 * kind.itemsize} of the data type, which is followed"
        repairs.append(Repair("bitpix", text))
    return kind


def _offset(path: Path, header: Header, start: bytes, limits: GuardConfig, repairs: list[Repair]) -> int:
    least, most = header.size + 4, header.size + 4 + limits.max_extension_mib * 2**20
    if header.offset == 0:
        repairs.append(Repair("offset", f"voxels cannot begin at byte 0; they are read from byte {least}"))
        return least
    if not (least <= header.offset <= most and header.offset == int(header.offset)):
        raise refuse(path, "offset", f"the header says that the voxels begin at byte {header.offset:g}")
    fault = extension_fault(start, header, int(header.offset))
    if fault:
        raise refuse(path, "extension", fault)
    return int(header.offset)


def _room(path: Path, size: int, wanted: int, packed: bool, limits: GuardConfig, sparse: bool) -> list[Repair]:
    """Hold what the header claims (``wanted`` bytes) against the file's ``size``; note what follows the voxels."""
    spare = limits.max_trailing_kib * 1024
    if wanted > (size * GZIP_BEST if packed else size):
        raise refuse(path, "truncated", f"the header claims {wanted:,} bytes, and the file has {size:,}")
    if size > (wanted * GZIP_WORST if packed else wanted) + spare:
        raise refuse(path, "trailing", f"the header accounts for {wanted:,} bytes, and the file has {size:,}")
    if packed and not sparse and wanted > SMALL_BYTES and wanted > size * limits.max_compression_ratio:
        raise refuse(path, "compression", f"{size:,} bytes unpack to {wanted:,}, {wanted / size:.0f} times as many")
    return [] if packed or size == wanted else [trailing(size - wanted)]


def trailing(count: int) -> Repair:
    """The repair of a file that goes on for ``count`` bytes after its voxels."""
    return Repair("trailing", f"{count:,} bytes after the voxels are ignored")


def _scaling(path: Path, header: Header, repairs: list[Repair]) -> tuple[float, float] | None:
    if math.isinf(header.slope):
        raise refuse(path, "scaling", "the slope of the intensity scaling is infinite")
    if math.isnan(header.slope):
        repairs.append(Repair("slope", "the slope is NaN; voxels are taken as stored"))
    if math.isnan(header.slope) or header.slope == 0:  # 0 means none, by nifti1.h
        return None
    if not math.isfinite(header.inter):
        raise refuse(path, "scaling", f"the intercept of the intensity scaling is {header.inter}")
    return (header.slope, header.inter) if (header.slope, header.inter) != (1, 0) else None
