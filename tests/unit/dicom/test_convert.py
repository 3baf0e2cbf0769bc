"""Guards the conversion: every series ends as a scan or in a code; no trace of the patient is left in what is made."""

import gzip
import os

import nibabel as nib
import numpy as np
import pytest
from dicom_series import put_converter, series

from cairn.config.dicom import DicomConfig
from cairn.datasets.layouts import list_scans
from cairn.dicom import convert
from cairn.dicom.headers import REFUSALS, Refused
from cairn.dicom.identity import Identities, read_identities
from cairn.errors import CairnError
from cairn.io.tables import read_table

CONFIG = DicomConfig(salt_file="salt")
TRACES = (b"DOE", b"JANE", b"4711", b"2001", b"1947", b"Hospital", b"1.2.")


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A folder of series of all kinds, read as their headers would be, and a converter."""
    put_converter(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    root = tmp_path / "DOE_JANE"
    one = series(root, "1.2.1")
    found = {
        "good": one,
        "again": series(root, "1.2.2"),
        "shell": series(root, "1.2.3", "DWI", b"FOURB"),
        "series-4d": series(root, "1.2.4", "T2", b"FOUR"),
        "not-converted": [*series(root, "1.2.5", "T2", b"FAIL"), *series(root, "1.2.6", "T2", b"NONE")],
        "several-volumes": series(root, "1.2.7", "T2", b"TWICE"),
        "too-few-slices": series(root, "1.2.8", "T2", b"THIN"),
        "missing-slices": series(root, "1.2.9")[::3],
        "no-patient": series(root, "1.2.10", patient=""),
        "unknown": series(root, "1.2.11", "Sequenz 7"),
    }
    found["missing-slices"] = series(root, "1.2.9", count=17)[:5] + series(root, "1.2.9", count=18)[6:]
    instances = [i for them in found.values() for i in them]
    refused = [Refused(root / "note_DOE.txt", "not-dicom", *REFUSALS["not-dicom"])]
    monkeypatch.setattr(convert, "_read", lambda _: (instances, refused))
    monkeypatch.setattr(convert, "pydicom", lambda: type("P", (), {"__version__": "3"}))

    def run(name="out"):
        out = tmp_path / name
        facts = convert.convert_folder(
            root, CONFIG, Identities(b"s" * 16, {}), out / "tree", out / "table.tsv", tmp_path / "state", 2
        )
        return out, facts

    return run


def test_every_series_ends_as_a_scan_or_in_a_code(world):
    out, facts = world()
    assert facts["codes"] == {
        "converted": 4, "series-4d": 1, "not-converted": 2, "several-volumes": 1, "too-few-slices": 1,
        "missing-slices": 1, "no-patient": 1,
    }  # fmt: skip
    scans = list_scans(out / "tree", "fomo60k")
    assert sorted(s.sequence for s in scans) == ["DWI", "T1w", "T1w_2", "unknown"]
    rows = read_table(out / "table.tsv", convert.COLUMNS)
    assert {r["path"] for r in rows if r["code"] == "converted"} == {s.path for s in scans}
    assert all(r["remedy"] != "n/a" for r in rows if r["code"] != "converted")
    assert [r["files"] for r in rows if r["code"] == "not-dicom"] == ["1"]


def test_nothing_that_is_made_names_the_patient_or_a_date(world):
    out, _ = world()
    for path in sorted(out.rglob("*")):
        content = b"" if path.is_dir() else path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)[: 348 + 4 + 200]  # the header and what could follow it
        for trace in TRACES:
            assert trace not in content, (path, trace)
            assert trace.decode() not in path.relative_to(out).as_posix(), (path, trace)


def test_the_list_that_leads_back_stays_in_the_state(world, tmp_path):
    world()
    rows = read_table(tmp_path / "state" / "sources.tsv")
    assert {"not-dicom", "converted", "missing-slices"} <= {r["code"] for r in rows}
    assert all("DOE_JANE" in r["file"] for r in rows)


def test_directions_of_a_diffusion_scan_are_averaged_over_the_largest_b_value(world):
    out, _ = world()
    (dwi,) = out.rglob("dwi.nii.gz")
    volumes = np.arange(20 * 18 * 16 * 4).reshape(20, 18, 16, 4).astype(np.int16)
    np.testing.assert_allclose(np.asarray(nib.load(dwi).dataobj), volumes[..., 1:].mean(-1), atol=1.0)


def test_what_is_converted_is_not_converted_again_and_equal(world, tmp_path):
    first, _ = world()
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "state").rglob("scan.nii.gz")}
    assert times
    second, _ = world("again")
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "state").rglob("scan.nii.gz")} == times
    for path in (p for p in first.rglob("*") if p.is_file()):
        assert path.read_bytes() == (second / path.relative_to(first)).read_bytes()


def test_identifiers_follow_from_secret_and_patient_alone():
    here, there = Identities(b"s" * 16, {"B": "p7"}), Identities(b"t" * 16, {})
    assert here.subject("A") == Identities(b"s" * 16, {}).subject("A") != there.subject("A")
    assert here.subject("B") == "p7"
    assert here.subject("A") != here.session("A")


@pytest.mark.parametrize(("salt", "people"), [(None, None), (b"short", None), (b"s" * 16, "A\tx\nB\tx"),
                                              (b"s" * 16, "A\tx y")])  # fmt: skip
def test_a_weak_secret_or_a_wrong_table_is_refused(tmp_path, salt, people):
    file, table = tmp_path / "salt", tmp_path / "people.tsv"
    if salt is not None:
        file.write_bytes(salt)
    table.write_text("patient_id\tsubject\n" + (people or ""))
    with pytest.raises(CairnError):
        read_identities(file, table if people else None)


def test_without_the_converter_the_command_that_installs_it_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(CairnError, match=r"make env-dicom"):
        convert.convert_folder(
            tmp_path, CONFIG, Identities(b"s" * 16, {}), tmp_path / "tree", tmp_path / "t.tsv", tmp_path / "state"
        )
