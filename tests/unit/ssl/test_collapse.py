"""Guards the collapse watch: both numbers against plain references, what stops a run, and what does not."""

import json

import numpy as np
import pytest
import torch
from learning import run_pretrain
from made import make_set

from cairn.config.training import PretrainConfig
from cairn.errors import CairnError
from cairn.io.atomic import sha256
from cairn.ssl.collapse import effective_rank, feature_std, refuse_collapse, watch

POINT = {"kind": "vicreg", "patch_voxels": [16, 16, 16], "expander": [16, 8], "variance": 0, "covariance": 0}
LINE = {"kind": "vicreg", "patch_voxels": [16, 16, 16], "expander": [8, 1]}
HEALTHY = {"kind": "vicreg", "patch_voxels": [16, 16, 16], "expander": [16, 8]}
OFF = {"min_feature_std": 0.0, "min_effective_rank": 0.0}


def std_in_loops(z):
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    return np.mean([np.sqrt(np.mean((c - c.mean()) ** 2)) for c in unit.T]) * np.sqrt(z.shape[1])


def rank_in_loops(z):
    squared = np.linalg.eigvalsh((z - z.mean(0)) @ (z - z.mean(0)).T)
    values = np.sqrt(np.clip(squared, 0, None))
    shares = [v / values.sum() for v in values if v > 1e-6 * values.max()]
    return np.exp(-sum(p * np.log(p) for p in shares))


@pytest.mark.parametrize("shape", [(16, 8), (8, 32), (40, 3), (2, 5)])
def test_both_numbers_are_the_plain_reference(shape):
    z = np.random.default_rng(0).normal(size=shape) + 0.5
    assert feature_std(torch.from_numpy(z)) == pytest.approx(std_in_loops(z), abs=1e-6)
    assert effective_rank(torch.from_numpy(z)) == pytest.approx(rank_in_loops(z), rel=1e-6)


def test_what_the_numbers_mean():
    rng = np.random.default_rng(1)
    sphere = torch.from_numpy(rng.normal(size=(400, 32)))
    assert feature_std(sphere) == pytest.approx(1, abs=0.03)
    assert effective_rank(sphere) > 28
    point = torch.from_numpy(np.repeat(rng.normal(size=(1, 32)), 20, axis=0))
    assert watch(point)["feature_std"] == pytest.approx(0, abs=1e-12)
    assert feature_std(point + 1e-4 * sphere[:20]) < 1e-3  # its rank is that of noise: the spread tells
    line = torch.from_numpy(np.outer(rng.normal(size=20), rng.normal(size=32)))
    assert effective_rank(line + 100.0) == pytest.approx(1, abs=1e-6)  # the offset is no direction
    assert feature_std(line) > 0.5  # its spread is that of a healthy net: the rank tells
    assert effective_rank(torch.zeros(5, 3)) == 0


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return make_set(tmp_path_factory.mktemp("watched"), "classification", 20).index


def run(folder, index, objective, **changes):
    folder.mkdir(exist_ok=True)
    budget = {"steps": 60, "batch_size": 4, "learning_rate": 3e-3, "warmup_steps": 5, "validate_every": 15}
    return run_pretrain(folder, index, objective=objective, **{**budget, "state_every": 10, **changes})


def test_a_collapse_to_a_point_stops_the_run_and_says_so(index, tmp_path):
    with pytest.raises(
        CairnError, match=r"objective vicreg has collapsed at step \d+.*feature_std.*at least 0\.02"
    ) as caught:
        run(tmp_path, index, POINT)
    assert caught.value.code == "collapsed"
    assert "min_feature_std" in caught.value.remedy
    assert not (tmp_path / "encoder.safetensors").exists()
    (history,) = tmp_path.glob("state/*/history.jsonl")
    last = json.loads(history.read_text().splitlines()[-1])
    assert last["feature_std"] < 0.02
    with pytest.raises(CairnError, match="has collapsed"):  # and again, from its last state
        run(tmp_path, index, POINT)
    run(tmp_path, index, POINT, **OFF)
    run(tmp_path / "never", index, POINT, **OFF)
    assert sha256(tmp_path / "encoder.safetensors") == sha256(tmp_path / "never/encoder.safetensors")
    assert sha256(tmp_path / "history.jsonl") == sha256(tmp_path / "never/history.jsonl")
    with pytest.raises(CairnError, match="has collapsed"):  # finished, then watched: judged as from the start
        run(tmp_path / "never", index, POINT)


def test_a_collapse_to_a_line_stops_the_run(index, tmp_path):
    with pytest.raises(CairnError, match=r"collapsed at step 15.*effective_rank 1 \(at least") as caught:
        run(tmp_path, index, LINE)
    assert caught.value.code == "collapsed"


def test_a_healthy_run_is_watched_to_the_card_also_without_held_back_sessions(index, tmp_path):
    facts = run(tmp_path, index, HEALTHY, steps=16, val_share=0)
    assert facts["final"]["feature_std"] > 0.05
    assert facts["final"]["effective_rank"] > 2
    assert "val_loss" not in facts["final"]


def test_warm_up_and_few_sessions_are_not_judged():
    config = PretrainConfig(warmup_steps=10)
    point = {"step": 10, "feature_std": 0.0, "effective_rank": 9.0}
    line = {"step": 11, "feature_std": 0.5, "effective_rank": 1.0}
    refuse_collapse(point, config, "it", 16)
    refuse_collapse(line, config, "it", 7)
    refuse_collapse({"step": 11, "val_loss": 3.0}, config, "it", 1)
    for record, sessions in (({**point, "step": 11}, 7), (line, 8)):
        with pytest.raises(CairnError, match="has collapsed"):
            refuse_collapse(record, config, "it", sessions)
