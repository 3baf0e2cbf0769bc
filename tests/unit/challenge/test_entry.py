"""Guards what an entry sees of a case, and that its answer is taken from what it wrote alone."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from entrants import honest, outcome, write_sessions

from cairn.challenge.entry import answer
from cairn.errors import CairnError
from cairn.io.atomic import sha256


@pytest.fixture
def scans(tmp_path):
    names = ("FLAIR", "DWI", "SWI", "T2star", "T1w", "ADC")
    write_sessions(tmp_path / "data", 1, names)
    return {name: tmp_path / f"data/sub-00/{name}.nii.gz" for name in names}


def test_it_sees_the_scans_of_the_task_named_by_the_contract_and_nothing_else(entry, scans, tmp_path):
    seen = {}

    def look(given, out):
        seen.update({flag: path.name for flag, path in given.items()})
        seen["around"] = sorted(p.name for p in given["flair"].parents[1].rglob("*"))
        seen["same"] = sha256(given["flair"]) == sha256(scans["FLAIR"])
        honest(given, out)

    assert answer(entry(look), scans, tmp_path).verdict == "ok"
    names = {"flair": "flair.nii.gz", "dwi_b1000": "dwi_b1000.nii.gz", "swi": "swi.nii.gz"}
    around = ["dwi_b1000.nii.gz", "flair.nii.gz", "ses_1", "swi.nii.gz"]
    assert seen == {**names, "around": around, "same": True}
    assert answer(entry(look, contract="fomo26"), scans, tmp_path).verdict == "ok"
    assert seen["dwi"] == "dwi.nii.gz"


def test_a_probe_sees_one_scan(entry, scans, tmp_path):
    found = answer(entry(kind="probe"), scans, tmp_path)
    assert found.checked.vector.shape == (3,)


def test_nothing_is_left_of_a_case(entry, scans, tmp_path):
    def nest(given, out):
        here = os.open(out.parent, os.O_RDONLY)
        for _ in range(1500):  # deeper than Python's own recursion
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(here)
        (out.parent / "closed").mkdir(mode=0)
        honest(given, out)

    before = sorted(tmp_path.iterdir())
    found = answer(entry(nest), scans, tmp_path)
    assert (found.verdict, found.others) == ("ok", ("closed", "d"))
    assert sorted(tmp_path.iterdir()) == before


def test_a_failed_run_is_not_read(entry, scans, tmp_path):
    def late(given, out):
        honest(given, out)
        return outcome("time")

    found = answer(entry(late), scans, tmp_path)
    assert (found.verdict, found.checked, found.sentence) == ("time", None, "It was time.")


@pytest.mark.parametrize("kind", ["link", "second-name", "pipe"])
def test_only_a_plain_file_is_taken(entry, scans, tmp_path, kind):
    secret = tmp_path / "secret"
    secret.write_text("0.5")

    def cheat(given, out):
        {"link": os.symlink, "second-name": os.link, "pipe": lambda a, b: os.mkfifo(b)}[kind](secret, out)

    assert answer(entry(cheat), scans, tmp_path).verdict == "not-a-file"


def test_a_scan_that_is_unpacked_or_changed(entry, scans, tmp_path):
    plain = scans["FLAIR"].with_suffix("")
    plain.write_bytes(gzip.decompress(scans["FLAIR"].read_bytes()))
    given = {}
    entry_ = entry(lambda s, out: given.update(first=s["flair"].read_bytes()[:2]) or honest(s, out))
    assert answer(entry_, scans | {"FLAIR": plain}, tmp_path, {"FLAIR": sha256(plain)}).verdict == "ok"
    assert given["first"] == b"\x1f\x8b"
    with pytest.raises(CairnError, match="not the one that was indexed"):
        answer(entry_, scans, tmp_path, {"FLAIR": "0" * 64})


def test_a_session_that_lacks_a_scan_is_not_the_entrys_fault(entry, scans, tmp_path):
    del scans["DWI"]
    with pytest.raises(CairnError, match="lacks DWI"):
        answer(entry(), scans, tmp_path)


def test_a_changed_input_is_seen(entry, scans, tmp_path):
    def scribble(given, out):
        given["flair"].chmod(0o644)
        given["flair"].write_bytes(b"x")
        out.write_text("0.5")

    assert answer(entry(scribble), scans, tmp_path).inputs_changed
    assert not answer(entry(), scans, tmp_path).inputs_changed
    assert np.isfinite(answer(entry(), scans, Path(tmp_path)).checked.value)
