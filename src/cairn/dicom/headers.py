"""Finding DICOM files in any layout and reading what series are made of. No pixel is read here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from cairn.errors import CairnError

INSTALL = "Install the converter, on top of the environment: make env-dicom."
TAGS = (
    "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "Modality", "ImageType",
    "SeriesDescription", "ProtocolName", "SequenceName", "ScanningSequence", "ContrastBolusAgent", "Rows", "Columns",
    "ImagePositionPatient", "ImageOrientationPatient", "NumberOfFrames", "EchoNumbers", "PixelSpacing",
)  # fmt: skip
MODALITIES = ("MR", "CT")


@dataclass(frozen=True)
class Instance:
    """One image file: of whom, of which series, and where it lies in the scanner (mm; None where it does not say)."""

    path: Path
    patient: str
    study: str
    series: str
    uid: str
    modality: str
    image_type: tuple[str, ...]
    words: str
    contrast: bool
    size: tuple[int, int]
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    frames: int

    @property
    def mosaic(self) -> bool:
        """Whether the file holds a whole volume: a Siemens mosaic, or several frames."""
        return self.frames > 1 or "MOSAIC" in self.image_type


@dataclass(frozen=True)
class Refused:
    """A file or series that no scan is made of; ``path`` is for this machine's eyes only."""

    path: Path
    code: str
    reason: str
    remedy: str


REFUSALS = {
    "not-dicom": ("The file is no DICOM file.", "Nothing, if it is a note or an index; else export it again."),
    "broken-dicom": ("The file's header cannot be read.", "Export the series again from its archive."),
    "not-image": ("The object holds no image (a report, a plan, a state).", "Nothing: only images are converted."),
    "modality": ("The image is neither MR nor CT.", "Nothing: only these are scans of a head here."),
    "outside": ("The file is a link that leads out of the data set's folder.", "Put the file itself in the folder."),
}


def pydicom() -> Any:
    """The library, where it is installed.

    Raises:
        CairnError: code ``resource``, with the command that installs it.
    """
    try:
        return import_module("pydicom")
    except ImportError:
        raise CairnError("pydicom is not installed; it reads DICOM headers.", INSTALL, "resource") from None


def files_below(root: Path) -> Iterator[Path]:
    """Every file below a folder, sorted; hidden ones and the index ``DICOMDIR`` left out.

    Raises:
        CairnError: code ``missing`` when there is no such folder.
    """
    if not root.is_dir():
        raise CairnError(f"{root}: no such folder.", "Mend 'root' of the data set in the configuration.", "missing")
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        yield from (Path(folder) / f for f in sorted(files) if not f.startswith(".") and f != "DICOMDIR")


def read_instance(path: Path, root: Path) -> Instance | Refused:
    """Read one file's header."""
    library = pydicom()
    if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
        return _refused(path, "outside")
    try:
        data = library.dcmread(path, stop_before_pixels=True, specific_tags=list(TAGS))
        return _instance(path, data)
    except library.errors.InvalidDicomError:
        return _refused(path, "not-dicom")
    except Exception:  # a stranger's file: whatever it makes the library raise, it is the file that is named
        return _refused(path, "broken-dicom")


def _instance(path: Path, data: Any) -> Instance | Refused:
    if not data.get("Rows") or not data.get("Columns"):
        return _refused(path, "not-image")
    if data.get("Modality") not in MODALITIES:
        return _refused(path, "modality")

    def text(tag: str) -> str:
        return str(data.get(tag) or "").strip()

    if not text("SeriesInstanceUID") or not text("StudyInstanceUID"):
        return _refused(path, "broken-dicom")
    return Instance(
        path, text("PatientID"), text("StudyInstanceUID"), text("SeriesInstanceUID"), text("SOPInstanceUID"),
        text("Modality"), tuple(map(str, data.get("ImageType") or ())),
        words=" ".join(text(t) for t in ("SeriesDescription", "ProtocolName", "SequenceName")),
        contrast=bool(text("ContrastBolusAgent")), size=(int(data.Rows), int(data.Columns)),
        position=_numbers(data, "ImagePositionPatient", 3), orientation=_numbers(data, "ImageOrientationPatient", 6),
        frames=int(data.get("NumberOfFrames") or 1),
    )  # fmt: skip


def _numbers(data: Any, tag: str, count: int) -> tuple[float, ...] | None:
    value = data.get(tag)
    return tuple(float(v) for v in value) if value is not None and len(value) == count else None


def _refused(path: Path, code: str) -> Refused:
    return Refused(path, code, *REFUSALS[code])
