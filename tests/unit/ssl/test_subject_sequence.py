"""Guards subject and sequence latents: each term against a plain reference, annealing, noise, single-scan sessions."""

import math

import numpy as np
import pytest
import torch
from latents import batch_of, doubled, places, section
from learning import NETWORK
from made import make_set

from cairn.config.base import parse
from cairn.config.latents import SubjectSequenceConfig
from cairn.config.networks import ResidualConfig
from cairn.errors import CairnError
from cairn.io.sessions import open_sessions
from cairn.ssl.draws import generator
from cairn.ssl.registry import build_objective
from cairn.ssl.subject_sequence import block_mean, divergence, likeness, mean_where

NET = ResidualConfig(**NETWORK)
WEIGHTS = ("self_weight", "cross_weight", "kl_weight", "subject_weight", "sequence_weight")


def config(**changes):
    return parse(SubjectSequenceConfig, section("subject_sequence", **changes))


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    return open_sessions([make_set(tmp_path_factory.mktemp("s"), "classification", 3, shape=(20, 22, 20)).index])


def plain_smooth_l1(a, b, beta=0.1):
    errors = [abs(x - y) for x, y in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)]
    return np.mean([0.5 * e * e / beta if e < beta else e - 0.5 * beta for e in errors])


def plain_cosines(a, b):
    """Each sample's mean over voxels of the cosine over channels."""
    out = []
    for x, y in zip(a, b, strict=True):
        pairs = [(x[(slice(None), *v)], y[(slice(None), *v)]) for v in np.ndindex(x.shape[1:])]
        out.append(np.mean([p @ q / np.linalg.norm(p) / np.linalg.norm(q) for p, q in pairs]))
    return np.array(out)


def test_divergence_is_that_of_normals():
    mean, log_variance = torch.randn(2, 3, 4, 2, 2, 2, dtype=torch.float64)
    each = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (0.5 * log_variance).exp()), torch.distributions.Normal(0.0, 1.0)
    )
    assert abs(float(divergence(mean, log_variance) - each.mean())) < 1e-6
    assert float(divergence(torch.zeros(2, 2), torch.zeros(2, 2))) == 0


def test_likeness_is_the_plain_reference():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 3, 5, 2, 2, 3))
    np.testing.assert_allclose(likeness(torch.from_numpy(a), torch.from_numpy(b)), plain_cosines(a, b), atol=1e-6)
    zero = torch.zeros(2, 5, 2, 2, 2).double()
    assert torch.equal(likeness(zero, zero), torch.zeros(2).double())


def test_mean_where_leaves_out():
    x, there = torch.tensor([1.0, 5.0, 3.0]), torch.tensor([True, False, True])
    assert float(mean_where(x, there)) == 2
    assert float(mean_where(x, ~there & there)) == 0


def test_block_mean_is_average_pooling():
    x = torch.randn(2, 3, 8, 4, 6)
    expected = torch.nn.functional.avg_pool3d(x, (4, 2, 3))
    assert torch.allclose(block_mean(x, torch.Size((2, 3, 2, 2, 2))), expected, atol=1e-6)


def test_loss_is_the_plain_reference(sessions):
    """All five terms, by hand, scan by scan."""
    objective = build_objective(config(), NET, 0).eval()
    objective.after_update(5)
    objective, batch = doubled(objective, batch_of(objective, sessions))
    batch["paired"][1] = False
    with torch.no_grad():
        found = float(objective(batch))
        each = [objective._latents(batch["target"][:, i].masked_fill(batch["hidden"][:, i], 0.0)) for i in (0, 1)]
        mean, log_variance = zip(*each, strict=True)
        subject, sequence = [m[:, :8] for m in mean], [m[:, 8:] for m in mean]
        shared = (subject[0] + subject[1]) / 2
        own = [objective._decode(torch.cat([subject[i], sequence[i]], 1)).numpy() for i in (0, 1)]
        cross = [objective._decode(torch.cat([shared, sequence[i]], 1)).numpy() for i in (0, 1)]
    target = [batch["target"][:, i].numpy() for i in (0, 1)]
    kl = [
        0.5 * (m * m + math.exp(v) - 1 - v)
        for i in (0, 1)
        for m, v in zip(mean[i].flatten().tolist(), log_variance[i].flatten().tolist(), strict=True)
    ]
    alike = plain_cosines(subject[0].numpy(), subject[1].numpy())
    differ = plain_cosines(sequence[0].numpy(), sequence[1].numpy())
    expected = (
        3 * np.mean([plain_smooth_l1(own[i], target[i]) for i in (0, 1)])
        + np.mean([plain_smooth_l1(cross[i], target[i]) for i in (0, 1)])
        + 0.001 * (5 / 20) * np.mean(kl)
        + 0.5 * np.mean(1 - alike)
        + 0.5 * np.mean(differ[[0, 2]])
    )
    assert abs(found - expected) < 1e-6


def test_kl_is_annealed_over_steps(sessions):
    weights = {w: float(w == "kl_weight") for w in WEIGHTS}
    objective = build_objective(config(**weights), NET, 0).eval()
    batch = batch_of(objective, sessions)
    seen = []
    for step in (0, 1, 10, 20, 400):
        objective.after_update(step)
        seen.append(float(objective(batch).detach()))
    assert seen[0] == 0
    assert seen[3] > 0
    assert np.array(seen[1:]) / seen[3] == pytest.approx([0.05, 0.5, 1, 1], rel=1e-5)
    assert "updates" in objective.state_dict()


def test_noise_is_of_torchs_generator_and_in_training_alone(sessions):
    objective = build_objective(config(), NET, 0).train()
    batch = batch_of(objective, sessions)
    losses = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        losses.append(float(objective(batch).detach()))
    assert losses[0] == losses[1] != losses[2]
    objective.eval()
    assert float(objective(batch).detach()) == float(objective(batch).detach())


def test_two_scans_show_one_place_under_masks_of_their_own(tmp_path):
    shape = (20, 22, 20)
    session = places(tmp_path, shape, np.ones(shape, bool))
    objective = build_objective(config(), NET, 0)
    pairs = set()
    for i in range(12):
        views = objective.views(session, generator(0, "v", i))
        slopes = []  # X, Y and Z rise along one axis each
        for scan in views["target"]:
            rises = [bool((scan.diff(dim=a) == 1).all()) for a in range(3)]
            slopes.append("XYZ"[rises.index(True)])
        pairs.add(tuple(slopes))
        assert not torch.equal(views["hidden"][0], views["hidden"][1])
        assert bool(views["paired"])
        for name, scan in zip(slopes, views["target"], strict=True):
            axis = "XYZ".index(name)
            assert 1 <= scan.min() <= shape[axis] - 15
    assert len(pairs) == 6  # all pairs of different scans, in both orders


def test_a_single_scan_is_doubled(tmp_path):
    index = make_set(tmp_path, "classification", 1, sequences=("T1w",)).index
    objective = build_objective(config(), NET, 0).eval()
    batch = batch_of(objective, open_sessions([index]))
    assert torch.equal(batch["target"][:, 0], batch["target"][:, 1])
    assert not batch["paired"].any()
    weights = {w: float(w == "sequence_weight") for w in WEIGHTS}
    assert float(build_objective(config(**weights), NET, 0).eval()(batch).detach()) == 0


def test_what_cannot_run_is_refused():
    for changes, words in (
        ({"patch_voxels": [20, 16, 16]}, "does not divide by the stride"),
        ({"mask_unit_voxels": 3}, "mask unit"),
        ({"patch_voxels": [8, 8, 8]}, "keeps one voxel"),
    ):
        with pytest.raises(CairnError, match=words):
            config(**changes).check(NET)
