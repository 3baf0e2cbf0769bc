"""Fuzzes the guard and the loader with atheris: any exception but `CairnError` is a finding.

Usage: ``python fuzz_nifti.py CORPUS [libFuzzer's options]``; the corpus is seeded with every hostile file that is small.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["cairn.io", "nibabel.volumeutils", "nibabel.quaternions"]):
    from cairn.io.nifti import open_header, read_label_map, read_scan

import numpy as np

from cairn.errors import CairnError
from cairn.io.codes import REFUSED

LARGEST = 64 << 10


def seed(corpus: Path) -> None:
    """Write the corpus: the hostile files that are plain files."""
    from hostile_files import make_all

    with tempfile.TemporaryDirectory() as folder:
        for name, path in make_all(Path(folder) / "a").items():
            if path.is_file() and not path.is_symlink() and path.stat().st_size <= LARGEST:
                (corpus / name).write_bytes(path.read_bytes())


def main() -> None:
    corpus = Path(sys.argv[1])
    seed(corpus)
    folder = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None
    path = Path(tempfile.mkdtemp(dir=folder)) / "t1.nii.gz"

    def one(data: bytes) -> None:
        path.write_bytes(data)
        for read in (open_header, read_scan, read_label_map):
            try:
                found = read(path)
            except CairnError as error:
                if error.code not in REFUSED:
                    raise ValueError(error.code) from None
            else:
                if read is read_scan and not np.isfinite(found.data).all():
                    raise ValueError("not finite")

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
