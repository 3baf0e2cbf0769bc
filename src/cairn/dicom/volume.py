"""One series into one volume by dcm2niix, and what may be said of it beside it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cairn.dicom.headers import INSTALL, Instance
from cairn.dicom.series import too_few
from cairn.errors import CairnError
from cairn.io.atomic import read_json, write_json
from cairn.io.nifti import open_header, write_scan

TIMEOUT_S = 900
SHELL_TOLERANCE = 50.0  # s/mm²: what counts as one b-value
# What a sidecar may say: how the scan was taken. A list of what is allowed, for what identifies a patient has no end.
SIDECAR = (
    "Modality", "MagneticFieldStrength", "Manufacturer", "ManufacturersModelName", "MRAcquisitionType",
    "ScanningSequence", "SequenceVariant", "EchoTime", "RepetitionTime", "InversionTime", "FlipAngle", "SliceThickness",
    "SpacingBetweenSlices", "EchoTrainLength", "PixelBandwidth", "DiffusionBValue", "ParallelReductionFactorInPlane",
    "MultibandAccelerationFactor", "KVP", "ConvolutionKernel",
)  # fmt: skip
ASIDE = ("_ph", "_real", "_imaginary", "_ROI")  # ends of names that dcm2niix gives to what is no magnitude


class NotConverted(CairnError):  # noqa: N818
    """A series of which the converter makes no volume."""


def converter() -> str:
    """Path of dcm2niix.

    Raises:
        CairnError: code ``resource``, with the command that installs it.
    """
    found = shutil.which("dcm2niix") or shutil.which("dcm2niix", path=str(Path(sys.executable).parent))
    if found is None:
        raise CairnError("dcm2niix is not installed; it converts DICOM series.", INSTALL, "resource")
    return found


def convert_series(series: Sequence[Instance], out: Path, min_slices: int) -> None:
    """Convert a series to ``out`` (``.nii.gz``), with the sidecar ``.json`` beside it.

    The header is written anew from shape, voxels and affine, so that no text of the source's travels in it.

    Raises:
        NotConverted: code ``not-converted``, ``several-volumes``, ``series-4d`` or ``too-few-slices``.
        CairnError: code ``resource`` when the converter is missing.
    """
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        source, made = Path(scratch) / "in", Path(scratch) / "out"
        source.mkdir()
        made.mkdir()
        for number, one in enumerate(series):
            (source / f"{number:06d}.dcm").symlink_to(one.path.resolve())
        _run([converter(), "-b", "y", "-ba", "o", "-z", "n", "-f", "s", "-w", "2", "-o", str(made), str(source)])
        image = _chosen(made)
        data, affine = _volume(image, min_slices)
        write_scan(out, data, affine)
        sidecar = image.with_suffix(".json")
        said = read_json(sidecar) if sidecar.is_file() else {}
        write_json(_sidecar(out), {key: said[key] for key in SIDECAR if key in said})


def _sidecar(scan: Path) -> Path:
    return scan.with_name(scan.name.removesuffix(".nii.gz") + ".json")


def _run(command: Sequence[str]) -> None:
    """Run the converter; what it prints names files and patients, and is not kept."""
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise _failed(f"The converter took more than {TIMEOUT_S} s.") from None
    if done.returncode:
        raise _failed(f"The converter ended with status {done.returncode}.")


def _failed(reason: str) -> NotConverted:
    return NotConverted(reason, "Export the series again, or convert it by hand and look.", "not-converted")


def _chosen(folder: Path) -> Path:
    """The one magnitude image; of a tilted or uneven stack the one that was made even."""
    images = [p for p in sorted(folder.glob("*.nii")) if not any(mark in p.stem for mark in ASIDE)]
    even = [p for p in images if "_Eq" in p.stem or "_Tilt" in p.stem]
    images = even[-1:] or images
    if not images:
        raise _failed("The converter made no image of it.")
    if len(images) > 1:
        raise NotConverted(
            f"The series holds {len(images)} volumes of different kinds.",
            "Split it at the archive: one echo, one kind of image a series.", "several-volumes",
        )  # fmt: skip
    return images[0]


def _volume(image: Path, min_slices: int) -> tuple[Any, Any]:
    import nibabel as nib

    loaded: Any = nib.load(image)  # type: ignore[attr-defined]
    if len(loaded.shape) == 4 and loaded.shape[3] > 1:
        data, affine = _shell_mean(loaded, image.with_suffix(".bval")), loaded.affine
    else:
        _, shape, affine = open_header(image)
        data = np.asarray(loaded.dataobj).reshape(shape)
    if min(data.shape) < min_slices:
        code, reason, remedy = too_few(min(data.shape), min_slices)
        raise NotConverted(reason, remedy, code)
    return data if data.dtype == np.int16 else np.asarray(data, np.float32), affine


def _shell_mean(image: Any, bval: Path) -> Any:
    """Mean over the volumes of the largest b-value: the directions of a diffusion scan averaged."""
    values = np.array(bval.read_text().split(), float) if bval.is_file() else np.zeros(0)
    if len(values) != image.shape[3]:
        reason = f"A series of {image.shape[3]} volumes without b-values."
        raise NotConverted(reason, "Split the series, or leave it out: it is no single volume.", "series-4d")
    shell = np.flatnonzero(values >= values.max() - SHELL_TOLERANCE)
    return np.mean([np.asarray(image.dataobj[..., int(k)], np.float32) for k in shell], axis=0)
