"""Guards VoCo: shares of overlap counted voxel by voxel, losses against loops, and who gets a gradient."""

import numpy as np
import pytest
import torch
from placed import PLAIN, STILL, placed_session, places

from cairn.config.contrastive import VocoConfig
from cairn.config.networks import ResidualConfig
from cairn.ssl.draws import generator
from cairn.ssl.registry import build_objective
from cairn.ssl.voco import base_similarity, prediction_loss

NETWORK = ResidualConfig(channels=(4, 6), blocks=(0, 1), stem_stride=1)
CONFIG = VocoConfig(patch_voxels=(4, 4, 4), grid=(2, 1, 2), projector=(8, 4))


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    return placed_session(tmp_path_factory.mktemp("placed"))


def batch_of(objective, session, count):
    samples = [objective.views(session, generator(0, "v", i)) for i in range(count)]
    return {k: torch.stack([s[k] for s in samples]) for k in samples[0]}


def test_shares_are_those_of_common_voxels_and_sum_to_one(session):
    objective = build_objective(CONFIG.model_copy(update={"spatial": STILL, "intensity": PLAIN}), NETWORK, 0)
    seen = set()
    for number in range(30):
        views = objective.views(session, generator(0, "v", number))
        crop = set(map(tuple, places(views["crop"])))
        bases = [set(map(tuple, places(b))) for b in views["bases"]]
        assert views["share"].tolist() == pytest.approx([len(crop & b) / 64 for b in bases], abs=1e-6)
        assert float(views["share"].sum()) == pytest.approx(1.0)
        assert len(set.union(*bases)) == 4 * 64  # side by side, none twice
        seen.add(tuple(views["share"].tolist()))
    assert len(seen) > 10


def cosine(a, b):
    return a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-8)


def prediction_in_loops(crop, bases, share):
    terms = []
    for n in range(len(crop)):
        for m in range(bases.shape[1]):
            distance = abs(share[n, m] - max(0.0, cosine(crop[n], bases[n, m])))
            terms.append(-np.log(1 - distance * (1 - 1e-6)))
    return np.mean(terms)


def similarity_in_loops(bases):
    terms = []
    for sample in bases:
        pairs = [(i, j) for i in range(len(sample)) for j in range(len(sample)) if i < j]
        terms.append(2 / (len(sample) * (len(sample) - 1)) * sum(abs(cosine(sample[i], sample[j])) for i, j in pairs))
    return np.mean(terms)


def cases():
    rng = np.random.default_rng(0)
    share = rng.dirichlet(np.ones(4), size=3)
    crop, bases = rng.normal(size=(3, 5)), rng.normal(size=(3, 4, 5))
    yield "random", crop, bases, share
    yield "alike", np.ones((3, 5)), np.ones((3, 4, 5)), share
    yield "opposite", np.ones((3, 5)), -np.ones((3, 4, 5)), share
    yield "on a base", crop, np.repeat(crop[:, None], 4, axis=1), np.eye(4)[:3]
    yield "nothing", np.zeros((3, 5)), np.zeros((3, 4, 5)), share
    yield "two bases", crop, bases[:, :2], np.array([[1.0, 0.0], [0.5, 0.5], [0.25, 0.75]])


@pytest.mark.parametrize(("name", "crop", "bases", "share"), list(cases()))
def test_losses_are_the_plain_reference(name, crop, bases, share):
    tensors = [torch.from_numpy(a) for a in (crop, bases, share)]
    assert abs(float(prediction_loss(*tensors)) - prediction_in_loops(crop, bases, share)) < 1e-6
    assert abs(float(base_similarity(tensors[1])) - similarity_in_loops(bases)) < 1e-6


def test_the_whole_loss_is_both_terms(session):
    objective = build_objective(CONFIG.model_copy(update={"regulariser": 0.7}), NETWORK, 0).double()
    batch = {k: v.double() for k, v in batch_of(objective, session, 3).items()}
    crop = objective.embed(batch).detach().numpy()
    bases = np.stack([objective.embed({"crop": batch["bases"][:, m]}).detach().numpy() for m in range(4)], axis=1)
    expected = prediction_in_loops(crop, bases, batch["share"].numpy()) + 0.7 * similarity_in_loops(bases)
    assert abs(float(objective(batch).detach()) - expected) < 1e-6


def test_base_crops_learn_from_the_regulariser_alone(session):
    objective = build_objective(CONFIG.model_copy(update={"regulariser": 0.0}), NETWORK, 0)
    batch = batch_of(objective, session, 2)
    batch["bases"].requires_grad_()
    batch["crop"].requires_grad_()
    objective(batch).backward()
    assert (batch["crop"].grad != 0).any()
    assert (batch["bases"].grad == 0).all()


def test_views_are_of_the_draw_alone(session):
    objective = build_objective(CONFIG, NETWORK, 0)
    views = objective.views(session, generator(0, "v", 3))
    torch.rand(3)
    again = objective.views(session, generator(0, "v", 3))
    assert all(torch.equal(views[k], again[k]) for k in views)
