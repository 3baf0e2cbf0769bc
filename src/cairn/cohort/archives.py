"""Volumes out of wheels and source archives, without installing or unpacking them."""

from __future__ import annotations

import fnmatch
import gzip
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.errors import CairnError

REMEDY = "Fetch the package again, or correct the donor's entry in the configuration."


def read_member(archive: Path, member: str) -> bytes:
    """Bytes of the first member whose name matches ``member`` (``*`` matches any text).

    Raises:
        CairnError: when the archive is missing or unreadable, or holds no such member.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as wheel:
                for name in fnmatch.filter(wheel.namelist(), member):
                    return wheel.read(name)
        else:
            with tarfile.open(archive) as source:
                for info in source:
                    file = source.extractfile(info) if fnmatch.fnmatch(info.name, member) else None
                    if file is not None:
                        return file.read()
    except (OSError, tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise CairnError(f"{archive}: not a readable archive ({error}).", REMEDY, code="archive") from None
    raise CairnError(f"{archive}: holds no '{member}'.", REMEDY, code="archive")


def read_volume(archive: Path, member: str) -> tuple[npt.NDArray[np.float32], tuple[float, float, float]]:
    """A NIfTI member as float32 ``[X, Y, Z]`` in RAS order, and its voxel sizes in mm."""
    import nibabel as nib

    data = read_member(archive, member)
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    image: Any = nib.as_closest_canonical(nib.Nifti1Image.from_bytes(data))  # type: ignore[attr-defined]
    x, y, z = (float(s) for s in image.header.get_zooms()[:3])
    volume = np.asarray(image.dataobj, np.float32).reshape(image.shape[:3])
    return volume, (x, y, z)
