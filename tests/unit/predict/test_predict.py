"""Guards prediction: masks land where the lesion is, no label is needed, what cannot be predicted says why."""

import math

import nibabel as nib
import numpy as np
import pytest
import torch
from made import ball, geometry, make_set, session, write_set

from cairn.config.tasks import TaskSpec
from cairn.errors import CairnError
from cairn.io.atomic import sha256
from cairn.io.sessions import open_sessions
from cairn.io.tables import PREDICTION_COLUMNS, read_table
from cairn.nets.models import build_model
from cairn.nets.weights import save_weights
from cairn.predict.run import PredictJob, predict, predict_session

NETWORK = {"channels": [4, 8, 12], "blocks": [0, 1, 1], "stem_stride": 2}
SHAPE = (16, 18, 16)


def task(kind, **more):
    mask = {"mask_sequence": "FLAIR"} if kind == "segmentation" else {}
    return {"name": kind, "kind": kind, "required": ["FLAIR", "DWI"], **mask, **more}


def job(kind, **more):
    return {"run": "x", "method": "scratch", "task": task(kind), "network": NETWORK, "seed": 0, "device": "cpu", **more}


def write_model(folder, kind, patch=None, facts=None):
    parsed = PredictJob(**job(kind))
    model = build_model(parsed.network, kind == "segmentation", seed=4)
    meta = {
        "kind": "model", "method": "scratch", "task": parsed.task.model_dump(mode="json"),
        "network": parsed.network.model_dump(mode="json"), "facts": facts or {"mean": 50.0, "std": 10.0},
        "box": [16, 16, 16], "patch": patch, "step": 3,
    }  # fmt: skip
    save_weights(folder / "model.safetensors", model.state_dict(), meta)
    return folder / "model.safetensors"


def run(folder, kind, indexes, **more):
    model = write_model(folder, kind, **more)
    facts = predict(job(kind), indexes, model, folder / "out" / "predictions.tsv", 1)
    return facts, read_table(folder / "out" / "predictions.tsv", PREDICTION_COLUMNS)


@pytest.mark.parametrize("sequence", ["FLAIR", "DWI"])
def test_a_known_blob_ends_at_its_native_place(tmp_path, sequence):
    made = make_set(tmp_path, "segmentation", 1, shape=(24, 26, 22))
    (case,) = open_sessions([made.index])
    centre = np.array([8.0, 16.0, 10.0])
    blob = ball((24, 26, 22), centre, 4).astype(np.float32)
    spec = TaskSpec(**{**task("segmentation"), "mask_sequence": sequence})
    row = predict_session(spec, case, lambda _: blob, tmp_path / "masks", 0.5)
    image = nib.load(tmp_path / row["mask"])
    grid = geometry((24, 26, 22), ["FLAIR", "DWI"])
    scan = grid.sequences[sequence]
    assert image.shape == scan.native_shape
    assert image.get_data_dtype() == np.uint8
    np.testing.assert_allclose(image.affine, scan.native_affine, atol=1e-5)
    voxels = np.argwhere(np.asarray(image.dataobj))
    found_mm = (image.affine[:3, :3] @ voxels.T).mean(1) + image.affine[:3, 3]
    expected_mm = (scan.grid_to_native @ grid.affine @ np.append(centre, 1))[:3]
    assert np.linalg.norm(found_mm - expected_mm) < 1.5
    native_ml = len(voxels) * abs(np.linalg.det(image.affine[:3, :3]))
    assert native_ml == pytest.approx(blob.sum() * 27, rel=0.2)
    assert row["mask_sha256"] == sha256(tmp_path / row["mask"])
    assert row["status"] == "ok"


def test_a_network_that_finds_brightness_finds_it_in_its_place(tmp_path, monkeypatch):
    """From shard to native mask with a network whose answer is the picture itself."""
    from cairn.nets.models import TaskModel

    made = make_set(tmp_path, "segmentation", 2, shape=(20, 26, 18))
    monkeypatch.setattr(TaskModel, "forward", lambda self, x, ids: (x[:, 0] - 1.8) * 10)
    _, rows = run(tmp_path, "segmentation", [made.index])
    for row in rows:
        native = np.asarray(nib.load(tmp_path / "out" / row["mask"]).dataobj) > 0
        truth = np.asarray(nib.load(tmp_path / f"mask-0000-{row['subject']}.nii.gz").dataobj) > 0
        assert 2 * (native & truth).sum() / (native.sum() + truth.sum()) > 0.8


def test_scalars_are_probabilities_or_years(tmp_path):
    made = make_set(tmp_path, "classification", 3)
    _, rows = run(tmp_path, "classification", [made.index])
    assert all(0 < float(r["value"]) < 1 and r["mask"] == "n/a" for r in rows)
    _, rows = run(tmp_path, "regression", [made.index])
    assert all(10 < float(r["value"]) < 90 for r in rows)


def test_labels_are_not_needed_and_equal_jobs_give_equal_tables(tmp_path):
    made = make_set(tmp_path, "segmentation", 2)
    for file in [*tmp_path.glob("mask*"), *tmp_path.glob("*.labels.tsv")]:
        file.unlink()
    run(tmp_path, "segmentation", [made.index])
    first = (tmp_path / "out" / "predictions.tsv").read_bytes()
    run(tmp_path, "segmentation", [made.index])
    assert (tmp_path / "out" / "predictions.tsv").read_bytes() == first


def test_a_session_without_a_sequence_gets_a_row_that_says_why(tmp_path):
    whole, _ = session("0001", "classification", 1, ("FLAIR", "DWI"), SHAPE)
    lacking, _ = session("0002", "classification", 1, ("FLAIR",), SHAPE)
    facts, rows = run(tmp_path, "classification", [write_set(tmp_path, "0000", [whole, lacking])])
    assert [r["status"] == "ok" for r in rows] == [True, False]
    assert "lacks DWI" in rows[1]["status"]
    assert rows[1]["value"] == "n/a"
    assert list(facts["without_prediction"]) == ["0002/1"]


def test_nan_from_the_model_is_no_prediction(tmp_path):
    made = make_set(tmp_path, "classification", 1)
    (case,) = open_sessions([made.index])
    row = predict_session(TaskSpec(**task("classification")), case, lambda _: np.asarray(math.nan), tmp_path, 0.5)
    assert "NaN" in row["status"]
    assert "value" not in row


def test_a_brain_larger_than_any_in_training_is_seen_whole(tmp_path, monkeypatch):
    from cairn.nets.models import TaskModel

    seen = []
    monkeypatch.setattr(TaskModel, "forward", lambda self, x, ids: seen.append(x.shape) or torch.zeros(len(x)))
    run(tmp_path, "classification", [make_set(tmp_path, "classification", 1, shape=(20, 44, 18)).index])
    assert all(n >= e for n, e in zip(seen[0][2:], (18, 39, 16), strict=True))
    assert seen[0][3] % 8 == 0


def test_sliding_window_sees_all_of_the_brain(tmp_path, monkeypatch):
    from cairn.nets.models import TaskModel

    made = make_set(tmp_path, "segmentation", 1, shape=(20, 26, 18))
    monkeypatch.setattr(TaskModel, "forward", lambda self, x, ids: (x[:, 0] - 1.8) * 10)
    run(tmp_path, "segmentation", [made.index])
    whole = np.asarray(nib.load(next((tmp_path / "out").glob("masks/*"))).dataobj)
    run(tmp_path, "segmentation", [made.index], patch=[8, 8, 8])
    windows = np.asarray(nib.load(next((tmp_path / "out").glob("masks/*"))).dataobj)
    assert whole.any()
    assert (whole == windows).mean() > 0.999


@pytest.mark.parametrize(
    "other",
    [
        {"method": "pretrained"},
        {"task": task("classification") | {"name": "other"}},
        {"network": {**NETWORK, "channels": [4, 8, 16]}},
    ],
)
def test_a_model_of_something_else_is_refused(tmp_path, other):
    made = make_set(tmp_path, "classification", 1)
    model = write_model(tmp_path, "classification")
    with pytest.raises(CairnError, match=next(iter(other)).replace("task", "task|kind")):
        predict(job("classification", **other), [made.index], model, tmp_path / "p.tsv", 1)


def test_masks_of_an_earlier_run_do_not_stay(tmp_path):
    made = make_set(tmp_path, "segmentation", 1)
    (tmp_path / "out" / "masks").mkdir(parents=True)
    (tmp_path / "out" / "masks" / "old.nii.gz").write_bytes(b"")
    run(tmp_path, "segmentation", [made.index])
    assert [f.name for f in (tmp_path / "out" / "masks").iterdir()] == ["sub-0000_ses-1_mask.nii.gz"]
