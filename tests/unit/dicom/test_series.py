"""Guards what a series is taken for: its sequence by its description, and the codes of what is no volume."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from dicom_series import series

from cairn.config.dicom import DicomConfig
from cairn.dicom.headers import Refused, read_instance
from cairn.dicom.series import fault, group, sequence_of
from cairn.errors import CairnError

CONFIG = DicomConfig(salt_file="salt")


@pytest.mark.parametrize(
    ("words", "name"),
    [("t1_mprage_sag_p2", "t1"), ("AX T1 SE", "t1"), ("T1 SAG POST GADO", "t1c"), ("t1_se_tra_KM", "t1c"),
     ("AX T1 +C", "t1c"), ("AX T2 FLAIR", "flair"), ("t2_tirm_tra_dark-fluid", "flair"), ("FLAIR_longTR", "flair"),
     ("AX T2 FSE", "t2"), ("T2W_TSE", "t2"), ("t2_tse_tra", "t2"), ("ep2d_diff_3scan_trace_p2_ADC", "adc"),
     ("ep2d_diff_3scan_trace_p2", "dwi"), ("DWI b1000", "dwi"), ("dMRI_mb3_AP_1.5", "dwi"), ("Ax SWAN", "swi"),
     ("SWI_Images", "swi"), ("AX T2* GRE", "t2s"), ("t2_fl2d_tra_hemo", "t2s"), ("FSE PD AXIAL OBL", "pd"),
     ("perfusion T2*", ""), ("TOF_3D_multi-slab", ""), ("localizer", ""), ("gre_field_mapping", ""),
     ("Sequenz 7", "scan"), ("", "scan")],
)  # fmt: skip
def test_the_description_tells_the_sequence(tmp_path, words, name):
    assert sequence_of(series(tmp_path, "1", words, count=1)) == name


def test_contrast_agent_and_modality_tell_more_than_the_description(tmp_path):
    assert sequence_of(series(tmp_path, "1", "AX T1", count=1, contrast=True)) == "t1c"
    assert sequence_of(series(tmp_path, "1", "head", count=1, modality="CT")) == "ct"


def broken(kind, found):
    if kind == "missing-slices":
        return found[:7] + found[8:]
    if kind == "too-few-slices":
        return found[:5]
    if kind == "mixed-series":
        return [*found[:-1], replace(found[-1], size=(128, 128))]
    if kind == "no-position":
        return [*found[:-1], replace(found[-1], position=None)]
    if kind == "localizer":
        return [replace(f, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER")) for f in found]
    return [replace(f, words="perfusion") for f in found]


@pytest.mark.parametrize(
    "code", ["missing-slices", "too-few-slices", "mixed-series", "no-position", "localizer", "not-anatomy"]
)
def test_each_fault_has_its_code(tmp_path, code):
    found = series(tmp_path, "1")
    assert fault(found, CONFIG) is None
    told = fault(broken(code, found), CONFIG)
    assert told is not None
    assert told[0] == code
    assert all(told)


def test_two_patients_in_one_series_are_never_one_scan(tmp_path):
    found = series(tmp_path, "1")
    assert fault([*found[:-1], replace(found[-1], patient="MRN-2")], CONFIG)[0] == "mixed-series"


def test_a_volume_in_each_file_needs_no_stack(tmp_path):
    mosaic = series(tmp_path, "1", count=3, image_type=("ORIGINAL", "MOSAIC"))
    assert fault(mosaic, CONFIG) is None


def test_a_file_that_lies_there_twice_counts_once(tmp_path):
    found = series(tmp_path, "1")
    assert [len(s) for s in group([*found, *found])] == [16]


class NotDicomError(Exception):
    pass


def library(monkeypatch, read):
    made = SimpleNamespace(dcmread=read, errors=SimpleNamespace(InvalidDicomError=NotDicomError), __version__="3")
    monkeypatch.setitem(__import__("sys").modules, "pydicom", made)


class Header(dict):
    """A header of pydicom's manner: a mapping with attributes."""

    __getattr__ = dict.get


def test_whatever_a_strangers_file_raises_it_is_the_file_that_is_named(monkeypatch, tmp_path):
    def code(header):
        def read(*_, **__):
            if isinstance(header, Exception):
                raise header
            return Header(header)

        library(monkeypatch, read)
        found = read_instance(tmp_path / "a.dcm", tmp_path)
        return found.code if isinstance(found, Refused) else "image"

    image = {"Rows": 4, "Columns": 4, "Modality": "MR", "SeriesInstanceUID": "1", "StudyInstanceUID": "2"}
    assert code(image) == "image"
    assert code(NotDicomError()) == "not-dicom"
    assert code(RecursionError("deep")) == "broken-dicom"
    assert code({"Modality": "SR"}) == "not-image"
    assert code(image | {"Modality": "US"}) == "modality"
    assert code(image | {"SeriesInstanceUID": ""}) == "broken-dicom"
    assert code(image | {"ImagePositionPatient": ["x", "y", "z"]}) == "broken-dicom"


def test_without_the_library_the_command_that_installs_it_is_told(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(CairnError, match=r"make env-dicom") as told:
        read_instance(tmp_path / "a.dcm", tmp_path)
    assert told.value.code == "resource"
