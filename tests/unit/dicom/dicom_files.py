"""Writes DICOM files of a made patient, with pydicom: sound series and what lies beside them in a real export."""

from pathlib import Path

import numpy as np

PATIENT = {"PatientName": "DOE^JANE", "PatientID": "MRN-4711", "PatientBirthDate": "19470311",
           "StudyDate": "20010316", "SeriesDate": "20010316", "AcquisitionDate": "20010316", "StudyTime": "143415",
           "InstitutionName": "General Hospital", "ReferringPhysicianName": "HOUSE^G"}  # fmt: skip
STUDY = "1.2.826.0.1.3680043.8.498.1"


def slice_file(path: Path, series: str, number: int, words: str, side: int = 64, step_mm: float = 4.0, **other) -> None:
    """One slice; ``other`` sets further attributes."""
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = MRImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = f"{series}.{number + 1}"
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    rng = np.random.default_rng(number)
    values = {
        **PATIENT, "SOPClassUID": MRImageStorage, "SOPInstanceUID": f"{series}.{number + 1}", "Modality": "MR",
        "StudyInstanceUID": STUDY, "SeriesInstanceUID": series, "FrameOfReferenceUID": f"{STUDY}.9",
        "SeriesNumber": int(series.split(".")[-1]), "InstanceNumber": number + 1, "SeriesDescription": words,
        "ImageType": ["ORIGINAL", "PRIMARY"], "Manufacturer": "SIEMENS", "MagneticFieldStrength": 3.0,
        "EchoTime": 20.0, "RepetitionTime": 500.0, "Rows": side, "Columns": side, "PixelSpacing": [3.0, 3.0],
        "SliceThickness": step_mm, "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "ImagePositionPatient": [-90.0, -90.0, step_mm * number], "SamplesPerPixel": 1, "BitsAllocated": 16,
        "PhotometricInterpretation": "MONOCHROME2", "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0,
        "PixelData": (rng.integers(0, 100, (side, side)) + 50 * number).astype("<u2").tobytes(),
    } | other  # fmt: skip
    for name, value in values.items():
        setattr(data, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, data, enforce_file_format=True)


def export(root: Path) -> None:
    """A folder as an archive exports it: series of many kinds, in folders with the patient's name."""
    for kind, (series, words) in enumerate(
        [("t1", "t1_mprage_sag"), ("flair", "AX T2 FLAIR"), ("plain", "Sequenz 7"), ("gap", "AX T2 FSE"),
         ("few", "AX T2 FSE"), ("sizes", "AX T2 FSE"), ("perf", "Perfusion")], 1
    ):  # fmt: skip
        for k in range(4 if series == "few" else 20):
            if series == "gap" and k == 9:
                continue
            side = 32 if series == "sizes" and k > 15 else 64
            slice_file(root / "DOE_JANE" / series / f"IM{k:04d}", f"{STUDY}.{kind}", k, words, side)
    slice_file(root / "DOE_JANE/us/IM0", f"{STUDY}.20", 0, "echo", Modality="US")
    (root / "DOE_JANE/report.txt").write_text("DOE^JANE is well.")
    whole = (root / "DOE_JANE/t1/IM0003").read_bytes()
    (root / "DOE_JANE/cut").write_bytes(whole[:200])
