"""Fuzzes the guard, the loader and the reader of zips with atheris: any exception but `CairnError` is a finding.

Usage: ``python fuzz_nifti.py CORPUS [libFuzzer's options]``; the corpus is seeded with small files, good and hostile.
"""

from __future__ import annotations

import gzip
import io
import sys
import tempfile
import zipfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["cairn.io", "nibabel.volumeutils", "nibabel.quaternions"]):
    from cairn.io.members import INTO, content_hash, list_members
    from cairn.io.nifti import labels_from, read_scan, scan_from

import numpy as np

from cairn.errors import CairnError
from cairn.io.codes import REFUSED

LARGEST = 20_000
PATH = Path("t1.nii.gz")


def seed(corpus: Path) -> None:
    """Write the corpus."""
    from hostile_files import make_all, small_files

    for number, content in enumerate(small_files()):
        (corpus / f"small{number}").write_bytes(content)
        (corpus / f"packed{number}").write_bytes(gzip.compress(content, mtime=0))
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA):
            with zipfile.ZipFile(corpus / f"zip{number}-{method}", "w", method) as out:
                out.writestr("t1.nii", content)
    with tempfile.TemporaryDirectory() as folder:
        for name, path in make_all(Path(folder) / "a").items():
            if path.is_file() and not path.is_symlink() and path.stat().st_size <= LARGEST:
                (corpus / name).write_bytes(path.read_bytes())


def archived(data: bytes) -> None:
    """Read ``data`` as an archive: its list, and its first members' hashes and scans."""
    with tempfile.NamedTemporaryFile(suffix=".zip") as file:
        file.write(data)
        file.flush()
        try:
            names = [member.name for member in list_members(Path(file.name))][:3]
        except CairnError as error:
            names = []
            if error.code not in REFUSED:
                raise ValueError(error.code) from None
        for name in names:
            content_hash(Path(file.name + INTO + name))
            try:
                read_scan(Path(file.name + INTO + name))
            except CairnError as error:
                if error.code not in REFUSED:
                    raise ValueError(error.code) from None


def one(data: bytes) -> None:
    """Read ``data`` as a scan and as a mask, and what has the mark of an archive as that."""
    if b"PK\x05\x06" in data:
        archived(data)
    for read in (scan_from, labels_from):
        try:
            found = read(PATH, io.BytesIO(data), len(data))
        except CairnError as error:
            if error.code not in REFUSED:
                raise ValueError(error.code) from None
        else:
            if read is scan_from and not np.isfinite(found.data).all():
                raise ValueError("not finite")


if __name__ == "__main__":
    seed(Path(sys.argv[1]))
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
