"""Guards MoCo: what query and key are, queue and momentum by a plain re-implementation, and resume to the byte."""

import math

import numpy as np
import pytest
import torch
from learning import run_pretrain
from made import make_set
from placed import PLAIN, STILL, placed_session, places
from torch.func import functional_call

from cairn.config.contrastive import MocoConfig
from cairn.config.networks import ResidualConfig
from cairn.io.atomic import sha256
from cairn.ssl.draws import generator
from cairn.ssl.moco import momentum
from cairn.ssl.registry import build_objective
from cairn.train.pretrain import PretrainProblem

NETWORK = ResidualConfig(channels=(4, 6), blocks=(0, 1))
CONFIG = MocoConfig(patch_voxels=(8, 8, 8), projector=(8, 4), queue=5, momentum=0.5, momentum_end=0.9, momentum_steps=3)
JOB = {"kind": "moco", "patch_voxels": [16, 16, 16], "projector": [16, 8], "queue": 7}


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    return placed_session(tmp_path_factory.mktemp("placed"))


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return make_set(tmp_path_factory.mktemp("moco"), "classification", 8).index


def test_query_and_key_are_two_sequences_at_the_same_place(session):
    plain = CONFIG.model_copy(update={"spatial": STILL, "intensity": PLAIN})
    signs = set()
    for number in range(20):
        views = build_objective(plain, NETWORK, 0).views(session, generator(0, "v", number))
        assert torch.equal(views["query"], -views["key"])
        assert len({tuple(p) for p in places(views["query"])}) == 8**3
        signs.add(float(views["query"].sign().unique()))
    assert signs == {-1.0, 1.0}  # either sequence can be the query


def test_of_a_single_sequence_the_key_is_the_same_scan_augmented_anew(tmp_path):
    single = placed_session(tmp_path, ["FLAIR"])
    views = build_objective(CONFIG, NETWORK, 0).views(single, generator(0, "v"))
    assert not torch.equal(views["query"], views["key"])
    plain = build_objective(CONFIG.model_copy(update={"spatial": STILL, "intensity": PLAIN}), NETWORK, 0)
    views = plain.views(single, generator(0, "v"))
    assert torch.equal(views["query"], views["key"])


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def plain_loss(query, key, queue, temperature):
    losses = []
    for q, k in zip(query, key, strict=True):
        logits = np.array([q @ k, *(q @ other for other in queue)]) / temperature
        losses.append(np.log(np.exp(logits - logits[0]).sum()))
    return float(np.mean(losses))


def test_queue_and_momentum_follow_the_plain_reference(session):
    """Six steps of two keys in a queue of five: it fills, and wraps in the middle of a batch."""
    objective = build_objective(CONFIG, NETWORK, 0).double().train()
    slow = {k: v.detach().clone() for k, v in objective.state_dict().items() if k.split(".")[0][:3] in ("enc", "pro")}
    names, queue = [k for k, _ in objective.named_parameters() if not k.startswith("key_")], []
    optimizer = torch.optim.SGD([p for p in objective.parameters() if p.requires_grad], lr=0.5)
    for step in range(1, 7):
        samples = [objective.views(session, generator(0, "v", step, i)) for i in range(2)]
        batch = {k: torch.stack([s[k] for s in samples]).double() for k in samples[0]}
        query = unit(objective.embed(batch).detach().numpy())
        with torch.no_grad():
            key = unit(functional_call(_Embed(objective), {f"of.{k}": v for k, v in slow.items()}, batch).numpy())
        loss = objective(batch)
        assert abs(float(loss.detach()) - plain_loss(query, key, queue, CONFIG.temperature)) < 1e-6

        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        objective.after_update(step)
        keep = 0.9 - 0.4 * (1 + math.cos(math.pi * min((step - 1) / 3, 1))) / 2
        state = objective.state_dict()
        for name in names:
            slow[name] = keep * slow[name] + (1 - keep) * state[name]
            np.testing.assert_allclose(state[f"key_{name}"], slow[name], atol=1e-12)
        queue = [*queue, *key][-5:]
        found = objective.queue.numpy()
        expected = {tuple(np.round(k, 9)) for k in queue} | ({(0.0,) * 4} if len(queue) < 5 else set())
        assert {tuple(np.round(k, 9)) for k in found} == expected
        assert int(objective.enqueued) == 2 * step


class _Embed(torch.nn.Module):
    """The key branch as the query branch with other weights."""

    def __init__(self, of):
        super().__init__()
        self.of = of

    def forward(self, batch):
        return self.of.embed({"query": batch["key"]})


def test_momentum_rises_over_steps_and_stays():
    config = CONFIG.model_copy(update={"momentum": 0.996, "momentum_end": 0.999, "momentum_steps": 10})
    course = [momentum(config, step) for step in range(1, 30)]
    assert course[0] == pytest.approx(0.996, abs=1e-12)
    assert course[5] == pytest.approx(0.9975, abs=1e-12)
    assert course == sorted(course)
    assert course[10:] == pytest.approx([0.999] * 19, abs=1e-12)


def test_validation_leaves_queue_and_key_encoder_alone(session):
    objective = build_objective(CONFIG, NETWORK, 0).eval()
    before = {k: v.clone() for k, v in objective.state_dict().items()}
    view = objective.views(session, generator(0, "v"))
    with torch.no_grad():
        objective({k: v[None] for k, v in view.items()})
    objective.train()
    objective.after_update(1)
    assert torch.equal(objective.queue, before["queue"])
    assert int(objective.enqueued) == 0
    assert not any(p.requires_grad for p in objective.key_encoder.parameters())


@pytest.mark.parametrize("step", [3, 7])
def test_an_interrupted_run_ends_with_the_same_bytes(index, tmp_path, monkeypatch, step):
    """The queue holds seven keys and wraps at the fourth step: half a queue forgotten would show in the weights."""
    original = PretrainProblem.batch

    def batch(self, number):
        if number == step:
            raise KeyboardInterrupt
        return original(self, number)

    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    run_pretrain(tmp_path / "whole", index, objective=JOB)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patch.setattr(PretrainProblem, "batch", batch)
        run_pretrain(tmp_path / "cut", index, objective=JOB)
    run_pretrain(tmp_path / "cut", index, objective=JOB)
    for name in ("encoder.safetensors", "history.jsonl"):
        assert sha256(tmp_path / "cut" / name) == sha256(tmp_path / "whole" / name)


def test_how_often_one_validates_changes_no_weight(index, tmp_path):
    for every in (1, 100):
        (tmp_path / str(every)).mkdir()
        run_pretrain(tmp_path / str(every), index, objective=JOB, validate_every=every)
    assert sha256(tmp_path / "1/encoder.safetensors") == sha256(tmp_path / "100/encoder.safetensors")
