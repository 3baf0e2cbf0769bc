"""Series of instances as headers tell them, and a stand-in for the converter."""

import json
import stat
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np

from cairn.dicom.headers import Instance

CONVERTER = """#!/bin/sh
while [ $# -gt 1 ]; do [ "$1" = -o ] && out=$2; shift; done
kind=$(head -c 5 "$1/000000.dcm")
[ "$kind" = FAIL ] && exit 2
[ "$kind" = NONE ] && exit 0
cp "$(dirname "$0")/$kind/"* "$out"
"""
SAID = {
    "EchoTime": 0.02, "PatientName": "DOE^JANE", "PatientID": "MRN-4711", "InstitutionName": "Hospital",
    "AcquisitionDateTime": "2001-03-16T14:34:15", "SeriesDescription": "T1 DOE",
}  # fmt: skip


def put_converter(folder: Path) -> None:
    """A program ``dcm2niix`` that makes what the first bytes of a series ask for, with the patient all over it."""
    for kind, shape in {
        "GOOD": (20, 18, 16), "TWICE": (20, 18, 16), "THIN": (20, 18, 3), "FOUR": (20, 18, 16, 4),
        "FOURB": (20, 18, 16, 4),
    }.items():  # fmt: skip
        (folder / kind).mkdir(parents=True)
        image = nib.Nifti1Image(np.arange(np.prod(shape)).reshape(shape).astype(np.int16), np.diag([-2.0, 2, 3, 1]))
        image.header["descrip"] = b"DOE^JANE 19470311"
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"DOE^JANE"))
        for name in ("s", "sa") if kind == "TWICE" else ("s",):
            nib.save(image, folder / kind / f"{name}.nii")
        (folder / kind / "s.json").write_text(json.dumps(SAID))
    (folder / "FOURB" / "s.bval").write_text("0 1000 1000 1000")
    program = folder / "dcm2niix"
    program.write_text(CONVERTER)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def series(folder: Path, uid: str, words: str = "AX T1 SE", content: bytes = b"GOOD", count: int = 16, **other):
    """A sound stack of slices, 3 mm apart; the files hold ``content``."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for k in range(count):
        path = folder / f"DOE_JANE_{uid}_{k:03d}.dcm"
        path.write_bytes(content)
        one = Instance(
            path, "MRN-4711", "1.2.20010316", uid, f"{uid}.{k:03d}", "MR", ("ORIGINAL", "PRIMARY"), words, False,
            (256, 256), (0.0, 0.0, 3.0 * k), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), 1,
        )  # fmt: skip
        found.append(replace(one, **other))
    return found
