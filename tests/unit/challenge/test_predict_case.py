"""Guards the answer to one case: from raw scans, what the pipeline says of them, byte for byte; or a clear refusal."""

import gzip

import nibabel as nib
import numpy as np
import pytest
from study import TASKS, make_study

from cairn.challenge.bundle import CARD, open_bundle, write_bundle
from cairn.challenge.command import FAILED, REFUSED, main
from cairn.challenge.finished import best_run, bundle_of
from cairn.challenge.picture import draw
from cairn.challenge.predict_case import Unusable, predict_case
from cairn.errors import CairnError
from cairn.io.atomic import write_json
from cairn.io.nifti import write_scan
from cairn.predict.probe import read_embeddings

SUFFIX = {"classification": ".txt", "regression": ".txt", "segmentation": ".nii.gz", "probe": ".npy"}
MODELS = [
    ("scratch", "sick"), ("scratch", "lesion"), ("scratch", "age"), ("scratch", "decade"),
    ("classical", "sick"), ("classical", "lesion"), ("classical", "age"), ("classical", "decade"),
]  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def bundle(study, tmp_path_factory):
    made = {}

    def folder(run="scratch", task="sick"):
        if (run, task) not in made:
            study.model(run, task)
            made[run, task] = tmp_path_factory.mktemp("bundles") / "bundle"
            write_bundle(bundle_of(study.results, run, task), made[run, task])
        return made[run, task]

    return folder


def output(tmp_path, task):
    return tmp_path / f"answer{SUFFIX[TASKS[task]['kind']]}"


@pytest.mark.parametrize(("run", "task"), MODELS)
def test_the_answer_is_the_pipelines(study, bundle, tmp_path, run, task):
    row, out = study.row(run, task), output(tmp_path, task)
    assert main(bundle(run, task), [*study.arguments("FLAIR", "DWI", "T2w"), "--output", str(out)]) == 0
    kind = TASKS[task]["kind"]
    if kind == "segmentation":
        assert out.read_bytes() == (study.answers(run, task) / row["mask"]).read_bytes()
        labels = np.asarray(nib.load(out).dataobj)
        assert labels.any() or run == "classical"
        assert not labels.all()
    elif kind == "probe":
        (wanted,) = read_embeddings(study.answers(run, task) / "embeddings.parquet").values()
        vector = np.load(out, allow_pickle=False)
        assert vector.dtype == np.float32
        assert vector.tobytes() == wanted.tobytes()
    else:
        assert out.read_text() == f"{row['value']}\n"


def test_arguments_of_both_contracts_and_any_order_are_one(study, bundle, tmp_path):
    old, new, probe = tmp_path / "old.txt", tmp_path / "new.txt", tmp_path / "probe.npy"
    flair, dwi = str(study.scans["FLAIR"]), str(study.scans["DWI"])
    assert main(bundle(), ["--flair", flair, "--dwi_b1000", dwi, "--output", str(old)]) == 0
    assert main(bundle(), ["--dwi", dwi, "--output", str(new), "--flair", flair]) == 0
    assert old.read_bytes() == new.read_bytes()
    assert main(bundle("scratch", "decade"), ["--input", flair, "--output", str(probe)]) == 0
    assert np.load(probe).ndim == 1


@pytest.mark.parametrize("given", [("FLAIR",), ("DWI",), ("T2w",), ("DWI", "T2w")])
def test_a_network_answers_from_any_of_the_tasks_scans(study, bundle, tmp_path, given):
    out = output(tmp_path, "sick")
    done = predict_case(open_bundle(bundle()), {n: study.scans[n] for n in given}, out)
    assert 0 < float(out.read_text()) < 1
    assert done.used == given
    assert out.read_text().strip() != study.row("scratch", "sick")["value"]


def test_a_mask_without_its_own_scan_lies_on_the_first_of_the_others(study, bundle, tmp_path):
    out = output(tmp_path, "lesion")
    assert main(bundle("scratch", "lesion"), [*study.arguments("DWI"), "--output", str(out)]) == 0
    scan, mask = nib.load(study.scans["DWI"]), nib.load(out)
    assert mask.shape == scan.shape
    np.testing.assert_allclose(mask.affine, scan.affine, atol=1e-4)


def test_a_classical_model_refuses_what_it_has_not_learned_from(study, bundle, tmp_path, capsys):
    out = output(tmp_path, "sick")
    assert main(bundle("classical", "sick"), [*study.arguments("FLAIR"), "--output", str(out)]) == REFUSED
    assert "lacks DWI" in capsys.readouterr().err
    assert not out.exists()


def bad(folder, scan, how):
    path = folder / "bad.nii.gz"
    if how == "cut":
        path.write_bytes(scan.read_bytes()[:3000])
    elif how == "no image":
        path.write_bytes(gzip.compress(b"hello"))
    elif how == "4D":
        write_scan(path, np.ones((8, 8, 8, 5), np.int16), np.eye(4))
    elif how == "blank":
        write_scan(path, np.ones((60, 60, 60), np.int16), np.eye(4))
    return path


@pytest.mark.parametrize("how", ["missing", "cut", "no image", "4D", "blank"])
def test_a_bad_scan_is_refused_in_one_line_that_names_it(study, bundle, tmp_path, how):
    path, out = bad(tmp_path, study.scans["FLAIR"], how), output(tmp_path, "sick")
    with pytest.raises(Unusable) as caught:
        predict_case(open_bundle(bundle()), {"FLAIR": path}, out)
    assert str(path) in str(caught.value)
    assert not out.exists()


@pytest.mark.parametrize("task", TASKS)
def test_an_entry_guesses_where_no_scan_can_be_used(study, bundle, tmp_path, capsys, task):
    """An unanswered case is the worst there is; the share of positives, the mean, no lesion, are not."""
    path, out = bad(tmp_path, study.scans["FLAIR"], "blank"), output(tmp_path, task)
    given = "--dwi" if task == "age" else "--flair"
    assert main(bundle("scratch", task), [given, str(path), "--output", str(out)]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("guessed from the training set: No scan can be used")
    assert str(path) in line
    if task == "lesion":
        mask = nib.load(out)
        assert (mask.shape, np.asarray(mask.dataobj).any()) == ((60, 60, 60), False)
    elif task == "decade":
        whole = tmp_path / "whole.npy"
        assert main(bundle("scratch", task), [*study.arguments("FLAIR"), "--output", str(whole)]) == 0
        assert np.load(out).shape == np.load(whole).shape
        assert np.load(out).dtype == np.float32
    else:
        assert float(out.read_text()) == {"sick": 0.25, "age": 50.0}[task]


@pytest.mark.parametrize(("run", "how"), [("scratch", "missing"), ("classical", "blank")])
def test_a_wrong_path_or_a_model_that_knows_no_average_is_refused(study, bundle, tmp_path, capsys, run, how):
    path, out = bad(tmp_path, study.scans["FLAIR"], how), output(tmp_path, "sick")
    assert main(bundle(run), ["--flair", str(path), "--output", str(out)]) == REFUSED
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("refused: ")
    assert str(path) in line
    assert not out.exists()


def test_beside_sound_scans_a_bad_one_is_left_out_and_named(study, bundle, tmp_path, capsys):
    path, out = bad(tmp_path, study.scans["FLAIR"], "cut"), output(tmp_path, "sick")
    assert main(bundle(), ["--flair", str(path), *study.arguments("DWI"), "--output", str(out)]) == 0
    assert f"FLAIR was left out: {path}" in capsys.readouterr().err
    assert out.exists()


@pytest.mark.parametrize(("how", "status"), [("cut", 0), ("no image", REFUSED)])
def test_a_mask_is_not_put_on_another_grid_because_its_scan_is_bad(study, bundle, tmp_path, capsys, how, status):
    path, out = bad(tmp_path, study.scans["FLAIR"], how), output(tmp_path, "lesion")
    given = ["--flair", str(path), *study.arguments("DWI"), "--output", str(out)]
    assert main(bundle("scratch", "lesion"), given) == status
    assert str(path) in capsys.readouterr().err
    assert out.exists() is not bool(status)
    if not status:
        assert nib.load(out).shape == nib.load(study.scans["FLAIR"]).shape
        assert not np.asarray(nib.load(out).dataobj).any()


def test_what_no_case_is_asked_with_is_refused(study, bundle, tmp_path, capsys):
    out = str(output(tmp_path, "sick"))
    flair = study.arguments("FLAIR")
    for arguments, words in (
        (["--output", out], "No scan was given"),
        ([*flair, "--output", str(tmp_path / "answer.npy")], "is a .txt file"),
        ([*flair, "--input", flair[1], "--output", out], "a second time"),
        (["--swi", flair[1], "--output", out], "takes FLAIR, DWI, T2w"),
    ):
        assert main(bundle(), arguments) == REFUSED
        assert words in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        main(bundle(), [*flair, "--labels", "x", "--output", out])
    assert stopped.value.code == REFUSED


def test_an_output_that_cannot_be_written_is_the_machines_fault_in_one_line(study, bundle, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(bundle(), [*study.arguments("DWI"), "--output", str(tmp_path / "file/answer.txt")]) == FAILED
    assert capsys.readouterr().err.splitlines()[-1].startswith("failed: ")


def test_an_altered_bundle_answers_nothing(study, tmp_path):
    study.model("scratch", "sick")
    write_bundle(bundle_of(study.results, "scratch", "sick"), tmp_path / "bundle")
    model = tmp_path / "bundle/model.safetensors"
    model.write_bytes(model.read_bytes()[:-1] + b"\0")
    with pytest.raises(CairnError, match="missing or altered"):
        open_bundle(tmp_path / "bundle")
    (tmp_path / "bundle" / CARD).write_text("[]")
    with pytest.raises(CairnError, match="no bundle"):
        open_bundle(tmp_path / "bundle")


def test_settings_of_preprocessing_are_those_of_the_models_training(study):
    study.model("scratch", "sick")
    made = bundle_of(study.results, "scratch", "sick")
    assert made.preprocess.grid.spacing_mm == 4.0
    with pytest.raises(CairnError, match=r"no model of run 'mae' for task 'sick'.*scratch/sick"):
        bundle_of(study.results, "mae", "sick")


def test_the_row_that_ranks_first_answers_where_none_is_named(study):
    study.model("scratch", "sick"), study.model("classical", "sick")
    board = study.results / "leaderboard/leaderboard.json"
    rows = [
        {"run": run, "ranked": run != "sealed", "place": place, "ranks": {"sick": {"value": value}}}
        for place, (run, value) in enumerate([("sealed", 1), ("scratch", 3), ("classical", 2), ("elsewhere", 1)])
    ]
    write_json(board, {"rows": rows})
    assert best_run(study.results, "sick") == "classical"
    with pytest.raises(CairnError, match="ranks no model on task 'age'"):
        best_run(study.results, "age")


def test_a_picture_shows_brain_alone(study, bundle, tmp_path):
    opened = open_bundle(bundle("scratch", "lesion"))
    out = output(tmp_path, "lesion")
    done = predict_case(opened, {n: study.scans[n] for n in ("FLAIR", "DWI")}, out)
    draw(done, opened.job, out, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes()[:4] == b"\x89PNG"
    done.made.numbers["strip"] = "none"
    with pytest.raises(CairnError, match="a face would show"):
        draw(done, opened.job, out, tmp_path / "face.png")
    assert not (tmp_path / "face.png").exists()
