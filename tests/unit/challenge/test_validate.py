"""Guards the validator: an honest entry passes on every kind of task, and each way to be wrong has its finding."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from entrants import TASKS, honest, outcome, write_sessions

from cairn.challenge.trials import invented_trials, real_trials
from cairn.challenge.validate import as_text, validate
from cairn.errors import CairnError
from cairn.io.nifti import open_header, write_scan
from cairn.sandbox.image import Image
from cairn.sandbox.policy import Policy
from cairn.tasks.cases import choose_sequences


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trials")
    return {kind: invented_trials(task, 2, folder / kind) for kind, task in TASKS.items()}


@pytest.mark.parametrize("kind", TASKS)
def test_an_honest_entry_is_valid(entry, trials, kind):
    report = validate(entry(kind=kind), trials[kind])
    assert report.valid, as_text(report)
    assert {f.what: f.level for f in report.findings}["repeatable"] == "ok"
    assert json.loads(as_text(report, True))["valid"]
    assert as_text(report).splitlines()[-1] == "VALID."


def test_an_empty_mask_is_valid(entry, trials):
    def nothing(scans, out):
        _, shape, affine = open_header(scans["flair"])
        write_scan(out, np.zeros(shape, np.uint8), affine)

    assert validate(entry(nothing, "segmentation"), trials["segmentation"]).valid


def without_swi(scans, out):
    assert "swi" in scans
    honest(scans, out)


def no_optional(scans, out):
    scans["t2"]
    honest(scans, out)


def many(scans, out):
    np.save(out, np.ones(scans["input"].stat().st_size % 97 + 1))


def scribbles(scans, out):
    scans["flair"].chmod(0o600)
    scans["flair"].write_bytes(b"x")
    out.write_text("0.5")


@pytest.mark.parametrize(
    ("kind", "program", "what", "said"),
    [("classification", without_swi, "subsets", "T2star instead of SWI"),
     ("regression", no_optional, "subsets", "without T2w"),
     ("classification", lambda s, o: o.write_text("7") and None, "answers", "out-of-range"),
     ("classification", lambda s, o: outcome("time", wall_s=121), "time", "121.0 s of 120 s"),
     ("classification", lambda s, o: o.write_text(str(random.SystemRandom().random())) and None, "repeatable",
      "two runs disagree"),
     ("classification", scribbles, "writes", "changed its input"),
     ("probe", many, "embedding", "lengths differ")],
)  # fmt: skip
def test_each_way_to_be_wrong_is_found(entry, trials, kind, program, what, said):
    report = validate(entry(program, kind), trials[kind])
    assert not report.valid
    faults = {f.what: f.said for f in report.findings if f.level == "fault"}
    assert said in faults[what], faults
    assert "NOT VALID" in as_text(report)


def test_notes_do_not_refuse(entry, trials):
    def littering(scans, out):
        out.write_text("0.5")
        (out.parent / "log.txt").touch()

    report = validate(entry(littering), trials["classification"])
    notes = {f.said for f in report.findings if f.level == "note"}
    assert report.valid
    assert any("same answer" in n for n in notes)
    assert any("log.txt" in n for n in notes)


def test_an_image_without_python_is_tried_no_further(entry, trials):
    made = entry()
    object.__setattr__(made, "run", lambda *_: outcome("start", "no python"))
    report = validate(made, trials["classification"])
    assert not report.valid
    assert not report.tried


def test_invented_heads_are_equal_each_time_and_differ_by_case(tmp_path, trials):
    again = invented_trials(TASKS["classification"], 2, tmp_path)
    first, second = trials["classification"][:2]
    assert again[0].scans["SWI"].read_bytes() == first.scans["SWI"].read_bytes()
    grids = [open_header(t.scans[s])[1:] for t, s in ((first, "FLAIR"), (first, "SWI"), (second, "FLAIR"))]
    assert len({shape for shape, _ in grids}) == 3
    assert np.linalg.det(grids[0][1][:3, :3]) > 0 > np.linalg.det(grids[2][1][:3, :3])


def test_every_optional_scan_is_left_out_once(trials):
    chosen = [tuple(t.scans) for t in trials["regression"]]
    assert chosen == [("T1w", "T2w"), ("T1w", "T2w"), ("T1w",)]
    assert all(choose_sequences(TASKS["classification"], list(t.scans)) for t in trials["classification"])


def test_real_sessions(entry, tmp_path):
    for number in range(2):
        folder = tmp_path / f"set/preprocessed/sub_{number}/ses_1"
        write_sessions(folder, 1, ("flair", "dwi_b1000", "swi"))
        for scan in folder.rglob("*.nii.gz"):
            scan.rename(folder / scan.name)
    (folder / "swi.nii.gz").unlink()
    found = real_trials(TASKS["classification"], 5, tmp_path / "set")
    assert [t.name for t in found] == ["0/1"]
    assert validate(entry(), found).valid
    with pytest.raises(CairnError, match="no session with T1w"):
        real_trials(TASKS["probe"], 1, tmp_path / "set")


def levels(entry, trials, **changes):
    for name, value in changes.items():
        object.__setattr__(entry, name, value)
    return {f.what: f.level for f in validate(entry, trials["classification"][:1]).findings}


def test_an_image_by_name_is_no_entry_for_fomo26(entry, trials):
    named = Image("docker://lab/entry", "oci")
    assert levels(entry(), trials, image=named)["image"] == "note"
    assert levels(entry(contract="fomo26"), trials, image=named)["image"] == "fault"


def test_mount_points_are_looked_for_in_a_file_and_a_folder(entry, trials, image, tmp_path, monkeypatch):
    assert levels(entry(), trials)["folders"] == "note"
    for name in ("input", "output"):
        (Path(image.path) / name).mkdir()
    assert levels(entry(), trials)["folders"] == "ok"
    (tmp_path / "a.sif").touch()
    monkeypatch.setattr("cairn.challenge.validate.lacks", lambda *_: ["/output"])
    sif = Image(str(tmp_path / "a.sif"), "sif")
    assert levels(entry(), trials, image=sif)["folders"] == "fault"
    assert levels(entry(contract="fomo26"), trials, image=sif)["folders"] == "note"


def test_a_gpu_that_is_asked_for_must_be_seen(entry, trials):
    made = entry()
    usual = made.run

    def blind(image, command, *rest):
        return outcome("failed") if command[0] == "nvidia-smi" else usual(image, command, *rest)

    assert "gpu" not in levels(made, trials)
    assert levels(made, trials, policy=Policy(gpu=True), run=blind)["gpu"] == "fault"
