"""Guards fine-tuning: each kind of task learns, weights load exactly or stop the job, subjects stay apart."""

import json

import pytest
import torch
from learning import NETWORK, finetune_job, run_finetune, run_pretrain
from made import make_set

from cairn.config import parse
from cairn.errors import CairnError
from cairn.io.sessions import open_sessions
from cairn.nets.meta import read_meta
from cairn.nets.weights import read_tensors, save_weights
from cairn.tasks.cases import labelled_cases
from cairn.train.cases import lesion_patch
from cairn.train.finetune import FinetuneProblem, start_weights
from cairn.train.jobs import FinetuneJob

CHANCE = {"classification": 0.5, "segmentation": 0.2, "regression": -15.0}
LEARN = {"steps": 40, "validate_every": 10, "learning_rate": 0.01, "state_every": 40}


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    return {kind: make_set(folder / kind, kind, 14) for kind in CHANCE}


@pytest.mark.parametrize("kind", sorted(CHANCE))
def test_every_kind_of_task_learns(sets, tmp_path, kind):
    facts = run_finetune(tmp_path, sets[kind], finetune_job(kind, **LEARN))
    records = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    losses = [r["loss"] for r in records if "loss" in r]
    assert facts["best"]["val_score"] > CHANCE[kind] + 0.25 * abs(CHANCE[kind])
    assert losses[-1] < 0.7 * losses[0]
    assert not set(facts["subjects"]["train"]) & set(facts["subjects"]["val"])
    meta = read_meta(tmp_path / "model.safetensors")
    assert meta["task"]["name"] == kind
    assert meta["step"] == facts["best"]["step"]


def test_an_encoder_is_loaded_whole_and_changes_the_model(sets, tmp_path):
    run_pretrain(tmp_path, sets["classification"].index, steps=3)
    encoder = tmp_path / "encoder.safetensors"
    job = parse(FinetuneJob, finetune_job("classification", "pretrained"))
    made = sets["classification"]
    problem = FinetuneProblem(job, labelled_cases(job.task, open_sessions([made.index]), made.labels))
    facts = start_weights(job, [encoder], problem)
    assert facts["tensors"]["matched"] == len(problem.module.encoder.state_dict())
    assert not facts["tensors"]["missing"]
    for name, tensor in read_tensors(encoder).items():
        assert torch.equal(problem.module.encoder.state_dict()[name], tensor)


def test_weights_that_do_not_fit_stop_the_job(sets, tmp_path):
    made = sets["classification"]
    run_pretrain(tmp_path, made.index, steps=1)
    encoder = tmp_path / "encoder.safetensors"
    job = finetune_job("classification", "pretrained")
    meta, tensors = read_meta(encoder), read_tensors(encoder)
    name = sorted(tensors)[3]
    del tensors[name]
    save_weights(tmp_path / "cut.safetensors", tensors, meta)
    with pytest.raises(CairnError, match=f"missing: {name}"):
        run_finetune(tmp_path, made, job, [tmp_path / "cut.safetensors"])
    with pytest.raises(CairnError, match="network"):
        run_finetune(tmp_path, made, {**job, "network": {**NETWORK, "channels": [4, 8, 16]}}, [encoder])
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize(("method", "given"), [("pretrained", 0), ("scratch", 1), ("classical", 1)])
def test_only_pretrained_runs_take_weights_and_they_must(sets, tmp_path, method, given):
    made = sets["classification"]
    weights = [tmp_path / "encoder.safetensors"] * given
    with pytest.raises(CairnError, match="weights"):
        run_finetune(tmp_path, made, finetune_job("classification", method), weights)


def test_patches_train_a_segmentation_too(sets, tmp_path):
    facts = run_finetune(tmp_path, sets["segmentation"], finetune_job("segmentation", patch_voxels=[8, 16, 8]))
    assert read_meta(tmp_path / "model.safetensors")["patch"] == [8, 16, 8]
    assert facts["best"]["val_score"] >= 0


def test_two_patches_of_three_hold_the_lesion():
    import numpy as np

    volume = torch.zeros(2, 32, 32, 32)
    volume[1, 30, 30, 1] = 1
    found = [lesion_patch(volume, (8, 8, 8), np.random.default_rng(i)) for i in range(150)]
    assert all(f.shape == (2, 8, 8, 8) for f in found)
    assert 0.5 < sum(float(f[1].sum()) for f in found) / 150 < 0.85


def test_sessions_without_label_or_sequence_are_named_not_lost_in_silence(sets, tmp_path):
    made = sets["classification"]
    odd = make_set(tmp_path, "classification", 2, sequences=("FLAIR",), first=50, name="0001")
    table = tmp_path / "labels.tsv"
    rows = made.labels.read_text().splitlines()
    table.write_text("\n".join([*rows[:-1], "0050\t1\t1\tn/a\tn/a", "9999\t1\t1\tn/a\tn/a"]) + "\n")
    job = parse(FinetuneJob, finetune_job("classification"))
    found = labelled_cases(job.task, open_sessions([made.index, odd.index]), table)
    assert len(found.cases) == 13
    assert set(found.skipped) == {"0013/1", "0050/1", "0051/1", "9999/1"}
    assert "lacks DWI" in found.skipped["0050/1"]
    assert "no label" in found.skipped["0013/1"]


def test_too_few_cases_are_refused(sets, tmp_path):
    made = make_set(tmp_path, "classification", 3)
    with pytest.raises(CairnError, match="at least four"):
        run_finetune(tmp_path, made, finetune_job("classification"))


def test_one_class_is_refused(tmp_path):
    made = make_set(tmp_path, "classification", 6)
    made.labels.write_text(made.labels.read_text().replace("\t1\t0\t", "\t1\t1\t"))
    for method in ("scratch", "classical"):
        with pytest.raises(CairnError, match="same label"):
            run_finetune(tmp_path, made, finetune_job("classification", method))


def test_what_the_loss_knows_comes_from_the_training_part_alone(sets):
    made = sets["regression"]
    job = parse(FinetuneJob, finetune_job("regression"))
    problem = FinetuneProblem(job, labelled_cases(job.task, open_sessions([made.index]), made.labels))
    ages = [float(problem.targets[i]) for i in problem.train]
    assert len(ages) < len(problem.cases)
    assert problem.task.facts["mean"] == pytest.approx(sum(ages) / len(ages))
