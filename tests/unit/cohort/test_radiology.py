"""Guards: several findings in one head, what is told of them, masks that agree, and an outcome of known hazard."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from cairn.cohort.anatomy import atrophy
from cairn.cohort.draws import stream
from cairn.cohort.fields import smooth
from cairn.cohort.lesions import MENINGIOMAS, white_matter_load
from cairn.cohort.plan import TUMOUR_SITES, Case, visits
from cairn.cohort.radiology import FINDINGS, survival, targets
from cairn.cohort.shard import make_shard
from cairn.cohort.subject import make_anatomy
from cairn.config import parse
from cairn.config.cohort import CohortSet
from cairn.config.cohort_radiology import RadiologyConfig, SurvivalConfig
from cairn.errors import CairnError
from cairn.io.nifti import read_label_map, read_mask, read_scan
from cairn.io.tables import LABEL_COLUMNS, read_table

VOXEL_MM = 3.0
SPEC = CohortSet(role="radiology", split="finetune", subjects=3, sites=("A1", "B"), sequences=("CT", "T1w", "FLAIR"))


@pytest.fixture(scope="module")
def visit(config):
    return visits(config, "one", SPEC.model_copy(update={"subjects": 1}))[0]


@pytest.fixture(scope="module")
def made(config, donors, tmp_path_factory):
    out = tmp_path_factory.mktemp("radiology")
    all_found = parse(RadiologyConfig, {"haemorrhage": 1, "infarct": 1, "tumour": 1})
    full = config.model_copy(update={"radiology": all_found})
    files = make_shard(full, "rad", SPEC, 0, 1, sorted(donors.glob("*.safetensors")), out / "raw", out / "truth")
    return out, json.loads((out / "truth/anatomy/0000.json").read_text()), files


def with_case(visit, **case):
    return replace(visit, case=Case(**{"haemorrhage": None, "infarct": False, "tumour_site": None,
                                       "high_grade": False, **case}))  # fmt: skip


def test_findings_come_in_their_shares_and_independently(config):
    many = visits(config, "many", SPEC.model_copy(update={"subjects": 1200}))
    drawn = np.array([[v.case.haemorrhage is not None, v.case.infarct, v.case.tumour_site is not None] for v in many])
    assert drawn.mean(0) == pytest.approx([0.5] * 3, abs=0.05)
    assert np.abs(np.corrcoef(drawn.T) - np.eye(3)).max() < 0.09
    kinds = Counter(v.case.haemorrhage for v in many if v.case.haemorrhage)
    assert kinds["subdural"] / kinds.total() == pytest.approx(0.4, abs=0.06)
    assert np.mean([v.case.high_grade for v in many]) == pytest.approx(0.5, abs=0.05)
    sites = Counter(v.case.tumour_site for v in many if v.case.tumour_site)
    assert set(sites) == set(TUMOUR_SITES) == set(MENINGIOMAS)
    assert max(sites.values()) < 1.5 * min(sites.values())
    shares = RadiologyConfig()
    assert np.mean([white_matter_load(v) >= shares.white_matter_load for v in many]) == pytest.approx(0.5, abs=0.07)
    assert np.mean([atrophy(v) >= shares.atrophy for v in many]) == pytest.approx(0.5, abs=0.07)


def test_a_share_changes_no_other_findings_draw(config):
    rare = config.model_copy(update={"radiology": parse(RadiologyConfig, {"haemorrhage": 0.05})})
    one, two = (visits(c, "many", SPEC.model_copy(update={"subjects": 60})) for c in (config, rare))
    assert [replace(v.case, haemorrhage=None) for v in one] == [replace(v.case, haemorrhage=None) for v in two]
    assert sum(v.case.haemorrhage is not None for v in two) < 10


def test_pretraining_with_ct_sees_the_findings_of_radiology_and_without_it_is_as_before(config):
    pre = CohortSet(role="pretrain", split="pretrain", subjects=20, sites=("A1",))
    before = visits(config, "pre", pre)
    with_ct = visits(config, "pre", pre.model_copy(update={"sequences": ("CT", "T1w", "FLAIR")}))
    assert not any(v.case for v in before)
    assert not any("CT" in v.sequences for v in before)
    assert all(v.case for v in with_ct)
    assert any("CT" in v.sequences for v in with_ct)
    assert any("CT" not in v.sequences for v in with_ct)


def test_ct_and_t1w_are_needed(config):
    with pytest.raises(CairnError, match="does not acquire CT"):
        visits(config, "x", SPEC.model_copy(update={"sequences": ("T1w", "FLAIR")}))


@pytest.mark.parametrize("kind", ["intraparenchymal", "subdural"])
def test_blood_replaces_tissue_and_keeps_away_from_the_infarct(ball, visit, kind):
    anatomy = make_anatomy(ball, with_case(visit, haemorrhage=kind, infarct=True), VOXEL_MM)
    blood, infarct = anatomy.overlays["haemorrhage"], anatomy.overlays["infarct"]
    assert 1 < anatomy.ml(blood) < 250
    assert float((blood * infarct).sum()) < 0.02 * float(infarct.sum())
    left = [float((m * (anatomy.box[0] < 0.5)).sum() / m.sum()) > 0.5 for m in (blood, infarct)]
    assert left[0] != left[1]
    total = anatomy.fractions.sum(0) + blood
    inside = anatomy.depth_mm > 6
    assert float(total[inside].min()) > 0.9
    assert float(total.max()) < 1.05
    deep = anatomy.depth_mm[blood > 0.5]
    if kind == "subdural":
        assert float(deep.quantile(0.9)) < 16
        assert float(deep.min()) < 2
    side = (anatomy.box[0] - 0.5)[blood > 0.5]
    assert max(float((side > 0).float().mean()), float((side < 0).float().mean())) > 0.95


def test_subdural_blood_pushes_the_brain_beneath_it_inwards(ball, visit):
    """Tissue beneath the crescent has come from further out, on the crescent's side."""
    sick, well = (make_anatomy(ball, with_case(visit, haemorrhage=k), VOXEL_MM) for k in ("subdural", None))
    blood = sick.overlays["haemorrhage"]
    side = float(torch.sign((blood * (well.box[0] - 0.5)).sum()))
    beneath = (blood < 0.05) & (smooth(blood, 2.0) > 0.08) & (well.depth_mm > 6)
    came_from_mm = side * (sick.box[0] - well.box[0])[beneath] * 135
    assert float(came_from_mm.median()) > 1
    assert float((sick.box - well.box)[:, well.depth_mm < -3].abs().max()) < 1e-5  # skull and scalp stay


def test_high_grade_is_ragged_and_necrotic(ball, visit):
    low, high = (make_anatomy(ball, with_case(visit, tumour_site="convexity", high_grade=g), VOXEL_MM) for g in (0, 1))
    assert "necrosis" not in low.overlays
    dead = high.ml(high.overlays["necrosis"])
    assert 0.1 < dead / high.ml(high.overlays["meningioma"]) < 0.9
    assert high.ml(high.overlays["oedema"]) > 1.2 * low.ml(low.overlays.get("oedema", torch.zeros(1)))
    assert _raggedness(high.overlays["meningioma"]) > 1.1 * _raggedness(low.overlays["meningioma"])


def _raggedness(share: torch.Tensor) -> float:
    """Surface over that of a ball of the same volume, about."""
    inside = (share > 0.5).numpy()
    surface = sum(np.abs(np.diff(inside.astype(int), axis=k)).sum() for k in range(3))
    return float(surface / inside.sum() ** (2 / 3))


def test_targets_agree_with_the_masks(made):
    out, truth, files = made
    assert sorted(files) == sorted(p for p in out.rglob("*") if p.is_file())
    for key, entry in truth.items():
        told = entry["targets"]
        assert set(FINDINGS) <= set(told)
        assert json.loads(json.dumps(told)) == told
        for name in ("haemorrhage", "infarct", "tumour"):
            assert told[name] == (name in entry["masks"])
        assert (told["tumour_site"] in TUMOUR_SITES) == bool(told["tumour"])
        assert (told["time_years"] is None) == (not told["tumour"])
        subject = key.split("/")[0]
        for name, paths in entry["masks"].items():
            assert set(paths) == {"CT", "T1w"}
            for sequence, path in paths.items():
                scan = read_scan(next((out / "raw" / f"sub-{subject}").rglob(f"*_{sequence}.nii.gz")))
                labels = read_label_map(out / "truth" / path)
                assert labels.shape == scan.data.shape
                assert labels.any(), (key, name, sequence)
    rows = read_table(out / "truth/labels/0000.tsv", LABEL_COLUMNS)
    assert [float(r["value"]) for r in rows] == [e["targets"]["age"] for e in truth.values()]
    assert any(e["targets"]["tumour"] for e in truth.values())


def test_masks_on_both_grids_hold_the_same_volume(made):
    out, truth, _ = made
    for entry in truth.values():
        ml = {}
        for sequence in ("CT", "T1w"):
            scan = read_scan(out / "truth" / entry["masks"]["haemorrhage"][sequence])
            ml[sequence] = (scan.data > 0).sum() * np.prod(scan.zooms) / 1000
        assert ml["CT"] == pytest.approx(ml["T1w"], rel=0.3)


def test_the_same_seed_gives_the_same_bytes_and_targets(made, config, donors, tmp_path):
    out, truth, _ = made
    full = config.model_copy(
        update={"radiology": parse(RadiologyConfig, {"haemorrhage": 1, "infarct": 1, "tumour": 1})}
    )
    for shard in range(2):
        make_shard(
            full, "rad", SPEC, shard, 2, sorted(donors.glob("*.safetensors")), tmp_path / "raw", tmp_path / "truth"
        )
    again = {}
    for path in (tmp_path / "truth/anatomy").glob("*.json"):
        again |= json.loads(path.read_text())
    assert again == truth
    for path in out.rglob("*.nii.gz"):
        other = tmp_path / path.relative_to(out)
        assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(other.read_bytes()).digest()


def test_brain_has_a_structure_wherever_there_is_no_lesion(made):
    out, truth, _ = made
    for entry in truth.values():
        brain = read_mask(out / "truth" / entry["brain_mask"])
        labels = read_label_map(out / "truth" / entry["masks"]["structures"]["T1w"])
        lesion = np.zeros_like(brain)
        for name in ("haemorrhage", "tumour"):
            if name in entry["masks"]:
                lesion |= read_mask(out / "truth" / entry["masks"][name]["T1w"])
        assert entry["reference"] == "T1w"
        assert (labels[brain & ~lesion] > 0).mean() > 0.98
        assert {1, 2, 3, 4, 5, 6, 7, 8, 9, 10} <= set(np.unique(labels))


def test_targets_do_not_change_the_head(ball, visit, config):
    """White-matter disease and atrophy are told by a threshold alone."""
    sick = with_case(visit, infarct=True)
    anatomy = make_anatomy(ball, sick, VOXEL_MM)
    low, high = (parse(RadiologyConfig, {"white_matter_load": w, "atrophy": a}) for w, a in ((0, 0), (0.8, 9)))
    assert [targets(anatomy, sick, low)[k] for k in ("white_matter_disease", "atrophy")] == [1, 1]
    assert [targets(anatomy, sick, high)[k] for k in ("white_matter_disease", "atrophy")] == [0, 0]


@pytest.mark.parametrize("shape", [1.0, 1.6])
def test_a_cox_fit_recovers_the_hazard(shape):
    """Partial likelihood by Newton on 3,000 simulated outcomes: coefficients within three standard errors."""
    law = SurvivalConfig(shape=shape)
    rng = stream("outcomes", int(10 * shape))
    grade, ml, age = rng.integers(0, 2, 3000), rng.uniform(2, 45, 3000), rng.uniform(35, 90, 3000)
    told = [survival(law, rng, bool(g), m, a) for g, m, a in zip(grade, ml, age, strict=True)]
    time, event = np.array([t for t, _ in told]), np.array([e for _, e in told])
    assert 0.3 < event.mean() < 0.95
    assert time[~event].min() >= law.censor_years[0]
    x = np.stack([grade, np.log(ml / law.reference_ml), (age - law.reference_years) / 10], 1)
    beta, error = _cox(x, time, event)
    true = np.array([law.log_hazard_grade, law.log_hazard_log_ml, law.log_hazard_decade])
    assert np.abs(beta - true).max() < 0.25
    assert (np.abs(beta - true) < 3 * error).all()


def _cox(x, time, event):
    """Coefficients and standard errors of a Cox model without ties."""
    order = np.argsort(-time)
    x, event, beta = x[order], event[order], np.zeros(x.shape[1])
    for _ in range(12):
        w = np.exp(x @ beta)
        s0 = np.cumsum(w)
        mean = np.cumsum(w[:, None] * x, 0) / s0[:, None]
        second = np.cumsum(w[:, None, None] * x[:, :, None] * x[:, None, :], 0) / s0[:, None, None]
        score = (x - mean)[event].sum(0)
        information = (second - mean[:, :, None] * mean[:, None, :])[event].sum(0)
        beta = beta + np.linalg.solve(information, score)
    return beta, np.sqrt(np.diag(np.linalg.inv(information)))


def test_follow_up_is_a_range():
    with pytest.raises(CairnError, match="censor_years"):
        parse(SurvivalConfig, {"censor_years": [5, 5]})
