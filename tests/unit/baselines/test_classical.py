"""Guards the classical baseline: it learns what is plain, knows its features by name, and is arrays only."""

import json

import numpy as np
import pytest
from made import make_set

from cairn.baselines.apply import classical_predictor
from cairn.baselines.dispatch import finetune
from cairn.baselines.features import feature_names, session_features
from cairn.config.tasks import TaskInputs
from cairn.io.atomic import sha256
from cairn.io.sessions import open_sessions
from cairn.nets.meta import read_meta
from cairn.tasks.cases import make_case
from cairn.tasks.targets import auroc, dice

KINDS = ("classification", "segmentation", "regression")


def task(kind):
    mask = {"mask_sequence": "FLAIR"} if kind == "segmentation" else {}
    return {"name": kind, "kind": kind, "required": ["FLAIR"], "any_of": [["SWI", "DWI"]], **mask}


def fit(folder, made, kind, seed=1):
    folder.mkdir(exist_ok=True)
    job = {"run": "classical", "method": "classical", "task": task(kind), "seed": seed}
    out = folder / "model.safetensors", folder / "history.jsonl"
    finetune(job, [made.index], made.labels, [], folder / "state", *out, 1, "code")
    return out[0]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classical")
    sets = {kind: make_set(folder / kind, kind, 14) for kind in KINDS}
    return {kind: (sets[kind], fit(folder / f"{kind}-fit", sets[kind], kind)) for kind in KINDS}


def predictions(model, kind, folder):
    test = make_set(folder / kind, kind, 8, first=500)
    predict, threshold = classical_predictor(model, read_meta(model))
    sessions = open_sessions([test.index])
    inputs = TaskInputs(**{k: v for k, v in task(kind).items() if k != "name"})
    return test, sessions, [predict(make_case(inputs, s)) for s in sessions], threshold


def test_classification_of_the_unseen(fitted, tmp_path):
    _, _, found, _ = predictions(fitted["classification"][1], "classification", tmp_path)
    assert auroc(np.array(found), np.arange(8) % 2) > 0.9
    assert all(0 <= p <= 1 for p in found)


def test_regression_of_the_unseen(fitted, tmp_path):
    _, _, found, _ = predictions(fitted["regression"][1], "regression", tmp_path)
    truth = [20 + (n * 37) % 60 for n in range(500, 508)]
    assert np.corrcoef(found, truth)[0, 1] > 0.8


def test_segmentation_of_the_unseen(fitted, tmp_path):
    made, sessions, found, threshold = predictions(fitted["segmentation"][1], "segmentation", tmp_path)
    scores = [dice(p >= threshold, made.truth[s.key]) for s, p in zip(sessions, found, strict=True)]
    assert np.mean(scores) > 0.6
    assert 0 < threshold < 1


@pytest.mark.parametrize("kind", KINDS)
def test_equal_jobs_give_equal_bytes(fitted, tmp_path, kind):
    made, model = fitted[kind]
    assert sha256(fit(tmp_path / "again", made, kind)) == sha256(model)
    records = [json.loads(line) for line in (tmp_path / "again" / "history.jsonl").read_text().splitlines()]
    assert len(records) >= 3
    assert all("step" in r for r in records)


def test_features_have_names_and_mean_what_they_say(tmp_path):
    (session,) = open_sessions([make_set(tmp_path, "classification", 1).index])
    inputs = TaskInputs(kind="classification", required=["FLAIR"], any_of=[["SWI", "DWI"]])
    case = make_case(inputs, session)
    named = dict(zip(feature_names(inputs), session_features(inputs, case), strict=True))
    inside = session.volume("FLAIR")[session.mask()]
    assert named["brain_ml"] == pytest.approx(session.mask().sum() * 0.027)
    assert named["FLAIR_p50"] == pytest.approx(np.median(inside), abs=1e-6)
    assert named["FLAIR_dark"] == pytest.approx((inside < -1).mean())
    assert named["FLAIR_very_bright_ml"] == pytest.approx((inside > 3).sum() * 0.027)
    assert named["SWI|DWI_asymmetry"] > 0


def test_a_mirrored_brain_has_the_same_asymmetry_and_other_regions(tmp_path):
    (session,) = open_sessions([make_set(tmp_path, "classification", 2).index])[1:]
    inputs = TaskInputs(kind="classification", required=["FLAIR"])
    plain = dict(zip(feature_names(inputs), session_features(inputs, make_case(inputs, session)), strict=True))
    volume, mask = session.volume("FLAIR")[::-1], session.mask()[::-1]
    object.__setattr__(session, "mask", lambda: mask)
    padded = lambda name, origin, size: volume[tuple(slice(o, o + s) for o, s in zip(origin, size, strict=True))]  # noqa: E731
    object.__setattr__(session, "patch", padded)
    flipped = dict(zip(feature_names(inputs), session_features(inputs, make_case(inputs, session)), strict=True))
    assert flipped["FLAIR_asymmetry"] == pytest.approx(plain["FLAIR_asymmetry"], rel=1e-5)
    assert flipped["FLAIR_region_0"] != pytest.approx(plain["FLAIR_region_0"], rel=1e-3)
