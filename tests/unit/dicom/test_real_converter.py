"""Guards the whole way with the real libraries, where they are installed (envs/dicom.in): files in, clean tree out."""

import gzip
import shutil

import nibabel as nib
import numpy as np
import pytest
from dicom_files import STUDY, export

from cairn.config.dicom import DicomConfig
from cairn.datasets.layouts import list_scans
from cairn.dicom.convert import COLUMNS, convert_folder
from cairn.dicom.identity import Identities
from cairn.io.nifti import read_scan
from cairn.io.tables import read_table

pytestmark = pytest.mark.slow
TRACES = ("DOE", "JANE", "4711", "19470311", "2001", "143415", "Hospital", "HOUSE", STUDY)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    pytest.importorskip("pydicom")
    if shutil.which("dcm2niix") is None:
        pytest.skip("dcm2niix is not installed")
    folder = tmp_path_factory.mktemp("dicom")
    export(folder / "export")
    config, who = DicomConfig(salt_file="unused"), Identities(b"s" * 16, {})
    out = folder / "out"
    convert_folder(folder / "export", config, who, out / "tree", out / "table.tsv", folder / "state", 2)
    return out


def test_each_series_and_file_ends_where_it_must(made):
    scans = list_scans(made / "tree", "fomo60k")
    assert sorted(s.sequence for s in scans) == ["FLAIR", "T1w", "unknown"]
    codes = sorted(r["code"] for r in read_table(made / "table.tsv", COLUMNS) if r["code"] != "converted")
    assert codes == ["missing-slices", "mixed-series", "modality", "not-anatomy", "not-dicom", "not-image",
                     "too-few-slices"]  # fmt: skip


def test_the_volume_is_the_stack_of_the_slices(made):
    (t1,) = (made / "tree").rglob("t1.nii.gz")
    scan = read_scan(t1)
    assert scan.data.shape == (64, 64, 20)
    np.testing.assert_allclose(scan.zooms, (3.0, 3.0, 4.0), atol=1e-3)
    means = scan.data.mean((0, 1))
    np.testing.assert_allclose(np.abs(np.diff(means)), 50, atol=3)


def test_no_trace_of_the_patient_is_left(made):
    for path in (p for p in made.rglob("*") if p.is_file()):
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)[: int(nib.load(path).header["vox_offset"])]
        for trace in TRACES:
            assert trace.encode() not in content, (path, trace)
            assert trace not in path.relative_to(made).as_posix()
