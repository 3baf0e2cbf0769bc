"""Makes files that a data set of strangers' scans may hold: each with the code that it must end in.

``python hostile_files.py FOLDER`` writes them all, one folder a file, for other programs to be tried on.
"""

from __future__ import annotations

import gzip
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

SHAPE = (24, 26, 14)
AFFINE = np.array([[-3.0, 0, 0, 34], [0, 3, 0.4, -37], [0, -0.24, 5.0, -30], [0, 0, 0, 1]])
PASSES = "passes"


@dataclass(frozen=True)
class Hostile:
    """One file: ``fate`` is ``refused``, ``repaired`` or ``passes``; ``make`` writes it into an empty folder."""

    fate: str
    code: str
    make: Callable[[Path], Path]


def head(kind: str = "i2", shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Something round and uneven, of the given type."""
    at = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))
    ball = (at[:3] ** 2).sum(0) < 0.8
    noise = np.random.default_rng(5).integers(0, 40, shape)
    return np.round(ball * (400 + 200 * np.sin(7 * at[0])) + noise).astype(kind)


def nifti(data: np.ndarray | None = None, affine: np.ndarray = AFFINE, two: bool = False, **fields: object) -> bytes:
    """A NIfTI file with header fields set past every check of the library that writes it."""
    data = head() if data is None else data
    image = (nib.Nifti2Image if two else nib.Nifti1Image)(data, affine, dtype=data.dtype)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    content = bytearray(image.to_bytes())
    header = type(image.header)(bytes(content[: 540 if two else 348]), check=False)
    for name, value in fields.items():
        header[name] = value
    content[: len(header.binaryblock)] = header.binaryblock
    return bytes(content)


def swapped(content: bytes) -> bytes:
    """A NIfTI-1 file of the other byte order."""
    image = nib.Nifti1Image.from_bytes(content)
    big = nib.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header.as_byteswapped(">"))
    return big.to_bytes()


def written(content: bytes, name: str = "t1.nii") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def packed(content: bytes, name: str = "t1.nii.gz") -> Callable[[Path], Path]:
    return written(gzip.compress(content, 1, mtime=0), name)


def bomb(content: bytes, mebibytes: int) -> bytes:
    """``content`` and zeros without end, as gzip members: nothing that a reader could call invalid."""
    return gzip.compress(content, 9) + gzip.compress(bytes(1 << 20), 9) * mebibytes


def with_nan(share: float) -> np.ndarray:
    data = head("f4")
    data.ravel()[: round(share * data.size)] = np.nan
    return data


def extension(size: int) -> bytes:
    """A file with room for an extension of 16 bytes that says it has ``size``."""
    content = nifti(vox_offset=368)
    return (
        content[:348]
        + b"\1\0\0\0"
        + int(size).to_bytes(4, "little", signed=True)
        + b"\6\0\0\0"
        + bytes(8)
        + content[352:]
    )


def _link(target: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / "t1.nii.gz").symlink_to(target)
        return folder / "t1.nii.gz"

    return make


def _outside(folder: Path) -> Path:
    away = folder.resolve().parents[2] / "elsewhere.nii"
    away.write_bytes(nifti())
    return _link(str(away))(folder)


def _folder(folder: Path) -> Path:
    (folder / "t1.nii.gz").mkdir()
    return folder / "t1.nii.gz"


def _fifo(folder: Path) -> Path:
    os.mkfifo(folder / "t1.nii.gz")
    return folder / "t1.nii.gz"


def _socket(folder: Path) -> Path:
    here = os.getcwd()
    os.chdir(folder)  # a socket's path has at most 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind("t1.nii.gz")
    finally:
        os.chdir(here)
    return folder / "t1.nii.gz"


def _unreadable(folder: Path) -> Path:
    path = written(nifti())(folder)
    path.chmod(0)
    return path


GOOD = nifti()
GZ = gzip.compress(GOOD, 6, mtime=0)
ZEROS = [-1, 0, 0, 0, 0, 0, 0, 0]
FLAT = {"srow_x": [3, 3, 0, 0], "srow_y": [0, 1e-4, 0, 0], "srow_z": [0, 0, 5, 0]}
NO_FORMS = {"qform_code": 0, "sform_code": 0}
CM, METRES, MICRO = (np.diag([f, f, f, 1]) @ AFFINE for f in (0.1, 1e-3, 1e3))
FINE = AFFINE @ np.diag([0.2, 0.2, 0.2, 1])
MIRRORED = AFFINE[0] * -1


def refused(code: str, make: Callable[[Path], Path]) -> Hostile:
    return Hostile("refused", code, make)


def repaired(code: str, make: Callable[[Path], Path]) -> Hostile:
    return Hostile("repaired", code, make)


def passes(make: Callable[[Path], Path]) -> Hostile:
    return Hostile(PASSES, "", make)


FILES: dict[str, Hostile] = {
    "empty": refused("truncated", written(b"", "t1.nii.gz")),
    "gzofempty": refused("truncated", packed(b"")),
    "gzcutinheader": refused("truncated", packed(GOOD[:200])),
    "gzcutindata": refused("truncated", written(GZ[: len(GZ) // 2], "t1.nii.gz")),
    "gzcutintrailer": refused("truncated", written(GZ[:-4], "t1.nii.gz")),
    "gzbadcrc": refused("corrupt", written(GZ[:-8] + bytes(4) + GZ[-4:], "t1.nii.gz")),
    "gzbadlength": refused("corrupt", written(GZ[:-1] + b"\7", "t1.nii.gz")),
    "gzdamaged": refused("corrupt", written(GZ[:4000] + b"\x55" * 400 + GZ[4400:], "t1.nii.gz")),
    "gzheaderonly": refused("corrupt", written(b"\x1f\x8b\xff" + bytes(60), "t1.nii.gz")),
    "gzlongname": refused("truncated", written(b"\x1f\x8b\x08\x08" + bytes(6) + b"a" * (1 << 20), "t1.nii.gz")),
    "doublegz": refused("double-gz", packed(GZ)),
    "plaincut": refused("truncated", written(GOOD[:-99])),
    "cutinheader": refused("truncated", written(GOOD[:100])),
    "text": refused("not-nifti", written(b"no scan", "t1.nii.gz")),
    "textingz": refused("not-nifti", packed(b"no scan" * 99)),
    "html": refused("not-nifti", written(b"<!DOCTYPE html><html>404 Not Found</html>" * 20, "t1.nii.gz")),
    "png": refused("not-nifti", written(b"\x89PNG\r\n\x1a\n" + bytes(999), "t1.nii.gz")),
    "dicom": refused("not-nifti", written(bytes(128) + b"DICM" + b"\2\0" * 999, "t1.nii.gz")),
    "zip": refused("not-nifti", written(b"PK\x03\x04" + bytes(999), "t1.nii.gz")),
    "zeros": refused("not-nifti", written(bytes(9999))),
    "lfspointer": refused(
        "pointer", written(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "t1.nii.gz")
    ),
    "annexpointer": refused("pointer", written(b"/annex/objects/MD5E-s9--00.nii.gz\n", "t1.nii.gz")),
    "analyze": refused("not-nifti", written(GOOD[:344] + bytes(4) + GOOD[348:])),
    "wrongmagic": refused("not-nifti", written(GOOD[:344] + b"nix\0" + GOOD[348:])),
    "pair": refused("pair", written(GOOD[:344] + b"ni1\0")),
    "headersize": refused("not-nifti", written(b"\x5d\1\0\0" + GOOD[4:])),
    "textmode2": refused("not-nifti", written(nifti(two=True).replace(b"n+2\0\r\n\x1a\n", b"n+2\0\n\x1a\n\0", 1))),
    "dim0": refused("dimensions", written(nifti(dim=[0, *SHAPE, 1, 1, 1, 1]))),
    "dim9": refused("dimensions", written(nifti(dim=[9, *SHAPE, 1, 1, 1, 1]))),
    "negativedim": refused("dimensions", written(nifti(dim=[3, 24, -26, 14, 1, 1, 1, 1]))),
    "zerodim": refused("dimensions", written(nifti(dim=[3, 24, 0, 14, 1, 1, 1, 1]))),
    "huge": refused("too-large", written(nifti(dim=[3, 30000, 30000, 30000, 1, 1, 1, 1]))),
    "overflow": refused("too-large", written(nifti(two=True, dim=[3, 2**62, 2**62, 2**62, 1, 1, 1, 1]))),
    "wraps": refused("too-large", written(nifti(two=True, dim=[3, 2**32, 2**31, 2, 1, 1, 1, 1]))),
    "wide": refused(
        "too-large", written(nifti(head("f8"), dim=[3, 1024, 1024, 513, 1, 1, 1, 1]))
    ),
    "claimsmore": refused("truncated", written(nifti(dim=[3, 400, 400, 400, 1, 1, 1, 1]))),
    "claimsmoregz": refused("truncated", packed(nifti(dim=[3, 400, 400, 400, 1, 1, 1, 1]))),
    "headerbomb": refused(
        "compression", written(bomb(nifti(affine=FINE, dim=[3, 400, 400, 400, 1, 1, 1, 1]), 256), "t1.nii.gz")
    ),
    "streambomb": refused("trailing", written(bomb(GOOD, 600), "t1.nii.gz")),
    "4d": refused("not-3d", written(nifti(head(shape=(24, 26, 14, 3))))),
    "2d": refused("not-3d", written(nifti(head()[:, :, 0]))),
    "vectors": refused("not-3d", written(nifti(head("f4", (24, 26, 14, 1, 3))))),
    "oneslice": refused("too-thin", written(nifti(head()[:, :, :1]))),
    "dimsone": refused("too-thin", written(nifti(dim=[3, 1, 1, 1, 1, 1, 1, 1]))),
    "complex": refused("datatype", written(nifti(head("c8")))),
    "complex128": refused("datatype", written(nifti(head("c16")))),
    "colour": refused("datatype", written(nifti(np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])))),
    "bits": refused("datatype", written(nifti(datatype=1, bitpix=1))),
    "float128": refused("datatype", written(nifti(datatype=1536, bitpix=128))),
    "unknowntype": refused("datatype", written(nifti(datatype=4097))),
    "offsetnan": refused("offset", written(nifti(vox_offset=np.nan))),
    "offset1e9": refused("offset", written(nifti(vox_offset=1e9))),
    "offset1e30": refused("offset", written(nifti(vox_offset=1e30))),
    "offsetinf": refused("offset", written(nifti(vox_offset=np.inf))),
    "offsetnegative": refused("offset", written(nifti(vox_offset=-352))),
    "offsetinheader": refused("offset", written(nifti(vox_offset=100))),
    "offsethalf": refused("offset", written(nifti(vox_offset=352.5))),
    "offset2negative": refused("offset", written(nifti(two=True, vox_offset=-(2**63)))),
    "offset2huge": refused("offset", written(nifti(two=True, vox_offset=2**62))),
    "hugeextension": refused("extension", written(extension(2**31 - 1))),
    "negativeextension": refused("extension", written(extension(-16))),
    "slopeinf": refused("scaling", written(nifti(scl_slope=np.inf))),
    "internan": refused("scaling", written(nifti(scl_slope=2, scl_inter=np.nan))),
    "slope1e38": refused("not-finite", written(nifti(scl_slope=3e38))),
    "slope1e20": refused("range", written(nifti(scl_slope=1e20))),
    "zeropixdimalone": refused("voxel-size", written(nifti(pixdim=ZEROS, **NO_FORMS))),
    "zeropixdimqform": refused("voxel-size", written(nifti(pixdim=ZEROS, sform_code=0))),
    "nanpixdimalone": refused("voxel-size", written(nifti(pixdim=[1, 3, np.nan, 5, 0, 0, 0, 0], sform_code=0))),
    "singularsform": refused("affine", written(nifti(**FLAT))),
    "zerocolumn": refused("voxel-size", written(nifti(srow_x=[0] * 4, srow_y=[0, 3, 0, 0]))),
    "nansform": refused("affine", written(nifti(srow_y=[np.nan] * 4))),
    "infiniteorigin": refused("affine", written(nifti(srow_z=[0, 0, 5, np.inf]))),
    "farorigin": refused("affine", written(nifti(srow_z=[0, 0, 5, 1e30]))),
    "longquaternion": refused("affine", written(nifti(quatern_b=9, sform_code=0))),
    "nanquaternion": refused("affine", written(nifti(quatern_c=np.nan, sform_code=0))),
    "centimetres": refused("extent", written(nifti(affine=CM))),
    "metres": refused("voxel-size", written(nifti(affine=METRES))),
    "hugevoxels": refused("voxel-size", written(nifti(affine=MICRO))),
    "allnan": refused("not-finite", written(nifti(with_nan(1.0)))),
    "infinite": refused("not-finite", written(nifti(np.full(SHAPE, np.inf, "f4")))),
    "manynan": refused("not-finite", written(nifti(with_nan(0.02)))),
    "blank": refused("blank", packed(nifti(np.full(SHAPE, 7, "i2")))),
    "int64extremes": refused("range", written(nifti(np.where(head() > 300, 2**63 - 1, -(2**63)).astype("i8")))),
    "float64max": refused("not-finite", written(nifti(np.where(head() > 300, 1e300, 1.0)))),
    "toomuchbehind": refused("trailing", written(GOOD + bytes(3 << 20))),
    "folder": refused("not-a-file", _folder),
    "fifo": refused("not-a-file", _fifo),
    "socket": refused("not-a-file", _socket),
    "device": refused("outside-root", _link("/dev/zero")),
    "dangling": refused("missing", _link("nowhere.nii.gz")),
    "loop": refused("missing", _link("t1.nii.gz")),
    "outside": refused("outside-root", _outside),
    "unreadable": refused("unreadable", _unreadable),
    "newline": refused("name", written(GOOD, "t1\n.nii")),
    "notutf8": refused("name", written(GOOD, os.fsdecode(b"t1\xff.nii"))),
    "zeropixdim": repaired("pixdim", written(nifti(pixdim=ZEROS))),
    "nanpixdim": repaired("pixdim", written(nifti(pixdim=[-1, *[np.nan] * 7]))),
    "pixdim1e30": repaired("pixdim", written(nifti(pixdim=[-1, 1e30, 1, 1, 0, 0, 0, 0]))),
    "micrometres": repaired("units", written(nifti(affine=MICRO, xyzt_units=3))),
    "unitwrong": repaired("units", written(nifti(xyzt_units=1))),
    "longquaternionbeside": repaired("qform", written(nifti(quatern_b=9))),
    "nosign": repaired("qform", written(nifti(pixdim=[np.nan, 3, 3, 5, 0, 0, 0, 0]))),
    "leftright": repaired("left-right", written(nifti(srow_x=MIRRORED))),
    "noforms": repaired("no-orientation", written(nifti(**NO_FORMS))),
    "unknownforms": repaired("no-orientation", written(nifti(qform_code=-7, sform_code=99))),
    "slopenan": repaired("slope", written(nifti(scl_slope=np.nan, scl_inter=np.nan))),
    "fewnan": repaired("not-finite", written(nifti(with_nan(0.005)))),
    "bitpix": repaired("bitpix", written(nifti(bitpix=8))),
    "offsetzero": repaired("offset", written(nifti(vox_offset=0))),
    "onevolume": repaired("extra-axis", written(nifti(head()[..., None, None]))),
    "notgz": repaired("packing", written(GOOD, "t1.nii.gz")),
    "gzbutnii": repaired("packing", written(GZ)),
    "somebehind": repaired("trailing", written(GOOD + b"behind")),
    "garbageaftergz": repaired("trailing", written(GZ + b"garbage", "t1.nii.gz")),
    "good": passes(packed(GOOD)),
    "bigendian": passes(packed(swapped(GOOD))),
    "nifti2": passes(packed(nifti(two=True))),
    "members": passes(written(gzip.compress(GOOD[:999]) + gzip.compress(GOOD[999:]), "t1.nii.gz")),
    "paddedgz": passes(written(GZ + bytes(512), "t1.nii.gz")),
    "slopezero": passes(written(nifti(scl_slope=0, scl_inter=np.nan))),
    "qformonly": passes(written(nifti(sform_code=0))),
    "extension": passes(written(extension(16))),
}  # fmt: skip


def small_files() -> list[bytes]:
    """Small valid files of every kind that is read, for programs that change bytes of them."""
    affine = np.diag([9.0, 9.0, 9.0, 1.0])
    plain = nifti(head(shape=(9, 8, 7)), affine)
    two = nifti(head("f4", (9, 8, 7)), affine, two=True)
    return [plain, swapped(plain), two, nifti(head("f8", (9, 8, 7)), affine, scl_slope=0.5)]


def make_all(root: Path) -> dict[str, Path]:
    """Write every file to ``root/sub_{name}/ses_1/``, the tree of FOMO60K; their paths by name."""
    paths = {}
    for name, hostile in FILES.items():
        folder = root / f"sub_{name}" / "ses_1"
        folder.mkdir(parents=True)
        paths[name] = hostile.make(folder)
    return paths


if __name__ == "__main__":
    make_all(Path(sys.argv[1]))
