"""Guards the commands ``cairn predict`` and ``cairn package``, and which configuration ``cairn validate`` goes by."""

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from matplotlib.axes import Axes
from study import make_study
from typer.testing import CliRunner

from cairn.challenge.finished import bundle_of
from cairn.challenge.picture import draw
from cairn.challenge.predict_case import predict_case
from cairn.cli import app
from cairn.errors import CairnError
from cairn.io.nifti import write_scan

REPO = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    made = make_study(folder)
    for name in ("containers", "src", "envs", "config"):
        (folder / name).symlink_to(REPO / name)
    for task in ("sick", "lesion"):
        made.model("scratch", task)
    return made


@pytest.fixture
def cairn(study, monkeypatch):
    monkeypatch.chdir(study.results.parents[1])
    return lambda *words: CliRunner().invoke(app, [*map(str, words)])


def refusal(told):
    assert told.exit_code
    assert isinstance(told.exception, CairnError)
    return str(told.exception)


def test_predict_answers_as_the_pipeline_on_one_thread(cairn, study, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    out = tmp_path / "p.txt"
    scans = study.arguments("FLAIR", "DWI", "T2w")
    told = cairn("predict", "--task", "sick", "--run", "scratch", "-e", "tiny", *scans, "--out", out)
    assert told.exit_code == 0, told.output
    assert out.read_text() == f"{study.row('scratch', 'sick')['value']}\n"
    assert os.environ["OMP_NUM_THREADS"] == "1"


def test_predict_refuses_what_it_cannot_answer(cairn, study, tmp_path):
    assert "Which task?" in refusal(cairn("predict", "--out", tmp_path / "p.txt"))
    line = ("predict", "--task", "sick", "--run", "scratch", "-e", "tiny", "--out", tmp_path / "p.txt")
    assert "No device" in refusal(cairn(*line, "--device", "tpu"))
    assert refusal(cairn(*line, "--flair", tmp_path / "none.nii.gz"))
    assert not (tmp_path / "p.txt").exists()


def test_package_makes_every_task_of_the_row_where_the_workflow_does(cairn, study):
    told = cairn("package", "scratch", "-e", "tiny")
    assert told.exit_code == 0, told.output
    made = study.results / "submission/scratch"
    assert sorted(p.name for p in made.iterdir()) == ["lesion", "sick"]
    assert (made / "sick/app/predict.py").is_file()
    assert told.output.count("cairn validate ") == 2


def test_package_refuses(cairn, tmp_path):
    assert "no model of run 'mae'" in refusal(cairn("package", "mae", "-e", "tiny"))
    assert "are for one entry" in refusal(cairn("package", "scratch", "-e", "tiny", "--out", tmp_path / "new"))
    (tmp_path / "old").mkdir()
    line = ("package", "scratch", "--task", "sick", "-e", "tiny", "--out", tmp_path / "old")
    assert "is there already" in refusal(cairn(*line))


def asked(monkeypatch, cairn, *words):
    """How ``cairn validate`` would ask an image: contract, engine, task."""
    seen = {}

    def stop(entry, trials):
        seen.update(contract=entry.contract, engine=entry.engine, task=entry.task.name)
        raise CairnError("stopped", "", "test")

    monkeypatch.setattr("cairn.challenge.validate.validate", stop)
    monkeypatch.setattr("cairn.challenge.trials.invented_trials", lambda *_: [])
    monkeypatch.setattr("cairn.sandbox.run.shutil.which", lambda name: name)
    assert "stopped" in refusal(cairn("validate", *words))
    return tuple(seen.values())


@pytest.fixture
def sif(tmp_path):
    (tmp_path / "x.sif").touch()
    return tmp_path / "x.sif"


def test_validate_asks_as_it_is_configured(cairn, monkeypatch, sif, tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("tasks: {a: {kind: regression, required: [T1w]}}\nchallenge: {contract: fomo26, engine: docker}\n")
    line = (sif, "--task", "a", "--configfile", own)
    assert asked(monkeypatch, cairn, *line) == ("fomo26", "docker", "a")
    assert asked(monkeypatch, cairn, *line, "--contract", "fomo25", "--engine", "podman") == ("fomo25", "podman", "a")
    above = tmp_path / "above.yaml"
    above.write_text("challenge: {engine: podman}\n")
    assert asked(monkeypatch, cairn, *line, "--configfile", above) == ("fomo26", "podman", "a")


def test_validate_finds_the_demos_tasks_under_fomo26(cairn, monkeypatch, sif):
    assert asked(monkeypatch, cairn, sif, "--task", "infarct") == ("fomo25", "apptainer", "infarct")
    for task in ("infarct", "age_group"):
        assert asked(monkeypatch, cairn, sif, "--task", task, "--contract", "fomo26") == ("fomo26", "apptainer", task)
    both = [part for name in ("demo", "fomo26") for part in ("--configfile", f"config/{name}.yaml")]
    assert asked(monkeypatch, cairn, sif, "--task", "age_group", *both)[0] == "fomo26"
    assert "No task 'nothing'" in refusal(cairn("validate", sif, "--task", "nothing"))


def test_the_outline_falls_on_the_mask(study, tmp_path, monkeypatch):
    """The mask is the scan's own bright voxels, so that what is outlined must be what shines in the picture."""
    bundle, out = bundle_of(study.results, "scratch", "lesion"), tmp_path / "m.nii.gz"
    done = predict_case(bundle, {name: study.scans[name] for name in ("FLAIR", "DWI")}, out)
    scan = nib.load(study.scans["FLAIR"])
    data = np.asarray(scan.dataobj)
    x = np.arange(data.shape[0])[:, None, None] < data.shape[0] // 2  # of one side, so that a flip is seen
    write_scan(out, ((data > np.percentile(data[data > 0], 60)) & x).astype(np.uint8), scan.affine)
    shown, outlined = [], []
    monkeypatch.setattr(Axes, "imshow", lambda self, image, **_: shown.append(image))
    monkeypatch.setattr(Axes, "contour", lambda self, mask, **_: outlined.append((shown[-1], mask)))
    draw(done, bundle.job, out, tmp_path / "m.png")
    flair = [(image, mask) for image, mask in outlined[:3] if mask.sum() > 20]
    assert flair
    for image, mask in flair:
        assert image.shape == mask.shape
        inside, outside = image[mask > 0], image[(mask == 0) & (image > 0)]
        assert (inside > 0).mean() > 0.9
        assert inside.mean() > 1.1 * outside.mean()
