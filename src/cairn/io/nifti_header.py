"""A NIfTI header, read from a file's first bytes: NIfTI-1 and NIfTI-2 in either byte order, nothing checked but that.

Layouts: nifti1.h (Cox et al. 2004) and nifti2.h (2011) of the NIfTI data format working group.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Order = Literal["<", ">"]
START = 64 << 10  # bytes of a file that its header, and the sizes of its extensions, are looked for in
_NIFTI1 = {
    "sizeof_hdr": ("i4", 0), "dim": ("8i2", 40), "datatype": ("i2", 70), "bitpix": ("i2", 72), "pixdim": ("8f4", 76),
    "vox_offset": ("f4", 108), "scl_slope": ("f4", 112), "scl_inter": ("f4", 116), "xyzt_units": ("u1", 123),
    "qform_code": ("i2", 252), "sform_code": ("i2", 254), "quatern": ("3f4", 256), "qoffset": ("3f4", 268),
    "srow": ("(3,4)f4", 280), "magic": ("S4", 344),
}  # fmt: skip
_NIFTI2 = {
    "sizeof_hdr": ("i4", 0), "magic": ("S8", 4), "datatype": ("i2", 12), "bitpix": ("i2", 14), "dim": ("8i8", 16),
    "pixdim": ("8f8", 104), "vox_offset": ("i8", 168), "scl_slope": ("f8", 176), "scl_inter": ("f8", 184),
    "qform_code": ("i4", 344), "sform_code": ("i4", 348), "quatern": ("3f8", 352), "qoffset": ("3f8", 376),
    "srow": ("(3,4)f8", 400), "xyzt_units": ("i4", 500),
}  # fmt: skip
_LAYOUTS = {348: _NIFTI1, 540: _NIFTI2}
_SINGLE = {348: b"n+1", 540: b"n+2\0\r\n\x1a\n"}
_PAIRED = (b"ni1", b"ni2")
DATATYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
NO_INTENSITY = {
    0: "unknown", 1: "bits", 32: "complex64", 128: "RGB colour", 1536: "float128", 1792: "complex128",
    2048: "complex256", 2304: "RGBA colour",
}  # fmt: skip
_OTHERS = (
    (0, b"\x89PNG", "a PNG picture"), (0, b"\xff\xd8\xff", "a JPEG picture"), (0, b"PK\x03\x04", "a zip archive"),
    (0, b"NRRD", "an NRRD file"), (0, b"\x89HDF", "an HDF5 or MINC file"), (0, b"%PDF", "a PDF"),
    (0, b"BZh", "packed by bzip2"), (0, b"\x28\xb5\x2f\xfd", "packed by zstd"), (0, b"\xfd7zXZ", "packed by xz"),
    (128, b"DICM", "a DICOM file"),
)  # fmt: skip
_POINTERS = (b"version https://git-lfs", b"/annex/objects/", b"../.git/annex/")


@dataclass(frozen=True)
class Header:
    """A header's fields as they stand in the file, in Python's own numbers.

    Attributes:
        size: bytes of the header: 348 (NIfTI-1) or 540 (NIfTI-2).
        order: byte order, ``<`` or ``>``.
        dim: number of axes, then their lengths.
        pixdim: sign of the qform's third axis, then the voxel sizes.
        offset: byte at which the voxels begin; a float, for NIfTI-1 stores it so.
        srow: the sform's 3x4.
        magic: the last or first bytes that tell a single file from a pair.
    """

    size: int
    order: Order
    dim: tuple[int, ...]
    datatype: int
    bitpix: int
    pixdim: npt.NDArray[np.float64]
    offset: float
    slope: float
    inter: float
    units: int
    qform_code: int
    sform_code: int
    quatern: npt.NDArray[np.float64]
    qoffset: npt.NDArray[np.float64]
    srow: npt.NDArray[np.float64]
    magic: bytes

    @property
    def single(self) -> bool:
        """Whether header and voxels are one file."""
        return self.magic == _SINGLE[self.size]

    @property
    def paired(self) -> bool:
        """Whether the voxels lie in a file of their own."""
        return self.magic[:3] in _PAIRED


def parse_header(start: bytes) -> Header | None:
    """The header at the start of a file; None where there is none or ``start`` ends within it."""
    orders: tuple[Order, ...] = ("<", ">")
    for order in orders:
        size = int(np.frombuffer(start[:4], order + "i4")[0]) if len(start) >= 4 else 0
        if size in _LAYOUTS and len(start) >= size:
            return _header(np.frombuffer(start[:size], _kind(size, order))[0], size, order)
    return None


def announced(start: bytes) -> int:
    """Size of the header that the first four bytes announce; 0 where they announce none."""
    sizes = (int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big"))
    return next((size for size in sizes if size in _LAYOUTS), 0)


@cache
def _kind(size: int, order: Order) -> np.dtype[Any]:
    layout = _LAYOUTS[size]
    return np.dtype({
        "names": list(layout),
        "formats": [np.dtype(f).newbyteorder(order) for f, _ in layout.values()],
        "offsets": [at for _, at in layout.values()],
        "itemsize": size,
    })  # fmt: skip


def _header(fields: Any, size: int, order: Order) -> Header:
    with np.errstate(all="ignore"):  # a signalling NaN, when it is made wider
        at = 344 if size == 348 else 4
        wide = {name: np.asarray(fields[name], float) for name in ("pixdim", "quatern", "qoffset", "srow")}
        return Header(
            size=size, order=order, dim=tuple(int(n) for n in fields["dim"]), datatype=int(fields["datatype"]),
            bitpix=int(fields["bitpix"]), offset=float(fields["vox_offset"]), slope=float(fields["scl_slope"]),
            inter=float(fields["scl_inter"]), units=int(fields["xyzt_units"]) & 7,
            qform_code=int(fields["qform_code"]), sform_code=int(fields["sform_code"]),
            magic=bytes(fields.tobytes()[at:at + (4 if size == 348 else 8)]).rstrip(b"\0"), **wide,
        )  # fmt: skip


def extension_fault(start: bytes, header: Header, offset: int) -> str | None:
    """What is wrong with the sizes of the header's extensions, as far as they lie within ``start``; None if nothing is.

    Args:
        start: the file's first bytes, unpacked.
        header: its header.
        offset: byte at which the voxels begin.
    """
    flag, at = start[header.size : header.size + 1], header.size + 4
    if flag in (b"", b"\0"):
        return None
    while at + 8 <= min(offset, len(start)):
        size = int(np.frombuffer(start[at : at + 4], header.order + "i4")[0])
        if size == 0:
            return None  # padding up to the voxels
        if size < 8 or size > offset - at:
            return f"a header extension of {size} bytes does not fit in the {offset - at} before the voxels"
        at += size
    return None


def other_format(start: bytes) -> str:
    """What a file that is no NIfTI file is, in words; empty where that is not known."""
    found = next((words for at, mark, words in _OTHERS if start[at : at + len(mark)] == mark), "")
    text = start[:512].lstrip().lower()
    if not found and text.startswith((b"<!doctype", b"<html", b"<?xml", b"<")):
        return "a web page or XML"
    return found


def is_pointer(start: bytes) -> bool:
    """Whether a file stands for one that Git LFS or git-annex has not fetched."""
    return any(mark in start[:200] for mark in _POINTERS)
