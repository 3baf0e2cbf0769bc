"""Writes tiny data sets in exactly the forms in which the big ones are published, and remembers every scan written."""

import gzip
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np

AFFINE = np.diag([-10.0, 11.5, 12.0, 1.0])


@dataclass
class Published:
    """A data set as written: voxels by (subject, session, sequence)."""

    root: Path
    scans: dict = field(default_factory=dict)

    def voxels(self):
        return np.random.default_rng(len(self.scans)).integers(0, 999, (4, 5, 6)).astype(np.int16)

    def add(self, path, subject, session, sequence):
        data = self.voxels()
        self.scans[subject, session, sequence] = data
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(data, AFFINE), self.root / path)

    def add_archive(self, path, subject, session, members):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(self.root / path, "w") as archive:
            for member, sequence in members.items():
                data = self.voxels()
                self.scans[subject, session, sequence] = data
                content = nib.Nifti1Image(data, AFFINE).to_bytes()
                archive.writestr(member, gzip.compress(content) if member.endswith(".gz") else content)

    def table(self, name, header, *rows):
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text("\n".join("\t".join(row) for row in (header, *rows)) + "\n")


def fomo60k(root):
    made = Published(root)
    for path, who in {
        "sub_11043/ses_1/t1.nii.gz": ("11043", "1", "T1w"), "sub_11043/ses_1/t1_2.nii.gz": ("11043", "1", "T1w_2"),
        "sub_11043/ses_1/t2s.nii.gz": ("11043", "1", "T2star"), "sub_11043/ses_2/flair.nii.gz": ("11043", "2", "FLAIR"),
        "sub_2/ses_1/minip.nii.gz": ("2", "1", "minIP"), "sub_2/ses_1/gre.nii.gz": ("2", "1", "T2star"),
        "sub_2/ses_1/scan.nii.gz": ("2", "1", "unknown"), "sub_2/ses_1/scan_2.nii.gz": ("2", "1", "unknown_2"),
    }.items():  # fmt: skip
        made.add(path, *who)
    return made


PEOPLE = ("dataset", "participant_id", "session_id", "sex", "age", "handedness", "group")


def fomo300k(root):
    made = Published(root)
    made.add("PT001_ClevelandCCF/sub-01/ses-01/t1w.nii.gz", "PT001_ClevelandCCF.01", "01", "T1w")
    made.add("PT002_Some.Clinic/sub-01/ses-01/scan.nii.gz", "PT002_Some=2EClinic.01", "01", "unknown")
    made.add("PT002_Some.Clinic/sub-01/ses-02/bval0.nii.gz", "PT002_Some=2EClinic.01", "02", "b0")
    made.add("PT002_Some.Clinic/sub-01/ses-02/dwi_bval1000.nii.gz", "PT002_Some=2EClinic.01", "02", "DWI")
    inside = {"sub-01/ses-01/t1w.nii.gz": "T1w", "sub-01/ses-01/acq-hires_run-02_flair.nii": "FLAIR"}
    made.add_archive("PT030_OpenNeuro/ds000001/sub-01/ses-01.zip", "PT030_OpenNeuro.ds000001.01", "01", inside)
    made.add_archive("PT030_OpenNeuro/ds000002/sub-01/ses-01.zip", "PT030_OpenNeuro.ds000002.01", "01",
                     {"ses-01/scan.nii.gz": "unknown", "ses-01/scan_2.nii.gz": "unknown_2"})  # fmt: skip
    made.table(
        "participants.tsv", PEOPLE,
        ("PT001_ClevelandCCF", "sub-01", "ses-01", "M", "034Y", "R", "control"),
        ("PT002_Some.Clinic", "sub-01", "ses-01", "F", "40-45", "n/a", "n/a"),
        ("PT002_Some.Clinic", "sub-01", "ses-02", "F", "46.5", "n/a", "n/a"),
        ("PT030_OpenNeuro/ds000001", "sub-01", "ses-01", "F", "21", "n/a", "n/a"),
    )  # fmt: skip
    made.table("mapping.tsv", ("dataset", "participant_id", "session_id", "filename", "source"),
               ("PT001_ClevelandCCF", "sub-01", "ses-01", "t1w.nii.gz", "somewhere"))  # fmt: skip
    made.table("mri_info.tsv", ("dataset", "participant_id", "session_id", "filename", "Manufacturer"),
               ("PT001_ClevelandCCF", "sub-01", "ses-01", "t1w.nii.gz", "Siemens"))  # fmt: skip
    return made


def fomo25_task(root):
    made = Published(root)
    for name, sequence in {"dwi_b1000": "DWI", "flair": "FLAIR", "adc": "ADC", "t2s": "T2star"}.items():
        made.add(f"preprocessed/sub_1/ses_1/{name}.nii.gz", "1", "1", sequence)
    for folder in ("labels/sub_1/ses_1", "skull_stripped/sub_1/ses_1"):
        (root / folder).mkdir(parents=True)
    (root / "labels/sub_1/ses_1/label.txt").write_text("1\n")
    return made


def fomo26_task(root):
    made = Published(root)
    made.add("Task_3/Task_3/preprocessed/sub_4/ses_1/t1w.nii.gz", "4", "1", "T1w")
    (root / "Task_3/Task_3/labels/sub_4").mkdir(parents=True)
    (root / "Task_3/Task_3/labels/sub_4/labels.txt").write_text("63\n")
    return made


def bids(root):
    made = Published(root)
    made.add("sub-01/anat/sub-01_T1w.nii.gz", "01", "1", "T1w")
    made.add("sub-01/anat/sub-01_run-2_T1w.nii.gz", "01", "1", "T1w_2")
    made.add("sub-01/anat/sub-01_ce-gd_T1w.nii.gz", "01", "1", "T1c")
    made.add("sub-02/ses-a/anat/sub-02_ses-a_FLAIR.nii.gz", "02", "a", "FLAIR")
    made.add("sub-02/ses-a/anat/sub-02_ses-a_T2starw.nii.gz", "02", "a", "T2star")
    made.add("sub-02/ses-b/anat/sub-02_ses-b_acq-2d_T2w.nii.gz", "02", "b", "T2w")
    made.add("sub-02/ses-b/anat/sub-02_ses-b_acq-3d_T2w.nii.gz", "02", "b", "T2w_3d")
    made.table("participants.tsv", ("participant_id", "age", "sex"), ("sub-01", "31", "F"), ("sub-02", "60", "M"))
    made.table("sub-02/sub-02_sessions.tsv", ("session_id", "age"), ("ses-a", "60"), ("ses-b", "62"))
    (root / "dataset_description.json").write_text('{"Name": "tiny", "BIDSVersion": "1.9.0", "License": "CC0"}\n')
    (root / "README").write_text("Tiny volumes of noise, in the form of a true data set; for tests alone. " * 4)
    return made


FORMS = {"fomo60k": fomo60k, "fomo300k": fomo300k, "fomo25": fomo25_task, "fomo26": fomo26_task, "bids": bids}
KIND = {"fomo60k": "fomo60k", "fomo300k": "fomo300k", "fomo25": "fomo_task", "fomo26": "fomo_task", "bids": "bids"}
