"""Guards VICReg: its three terms against loops over NumPy numbers, their weights, and what they push where."""

import numpy as np
import pytest
import torch
from placed import placed_session

from cairn.config.contrastive import VicregConfig
from cairn.config.networks import ResidualConfig
from cairn.ssl.draws import generator
from cairn.ssl.registry import build_objective
from cairn.ssl.vicreg import lacking_spread, shared_spread

NETWORK = ResidualConfig(channels=(4, 6), blocks=(0, 1))
CONFIG = VicregConfig(patch_voxels=(8, 8, 8), expander=(8, 4))
RNG = np.random.default_rng(0)
BATCHES = {
    "random": RNG.normal(size=(6, 5)), "pair": RNG.normal(size=(2, 3)), "alike": np.ones((4, 3)),
    "line": np.outer(np.arange(4.0), np.ones(3)), "wide": 30 * RNG.normal(size=(3, 8)), "one": RNG.normal(size=(4, 1)),
}  # fmt: skip


def variance_in_loops(z):
    lacks = []
    for j in range(z.shape[1]):
        mean = sum(z[:, j]) / len(z)
        variance = sum((v - mean) ** 2 for v in z[:, j]) / (len(z) - 1)
        lacks.append(max(0.0, 1 - (variance + 1e-4) ** 0.5))
    return sum(lacks) / len(lacks)


def covariance_in_loops(z):
    n, d = z.shape
    means = [sum(z[:, j]) / n for j in range(d)]
    total = 0.0
    for i in range(d):
        for j in range(d):
            if i != j:
                total += (sum((z[k, i] - means[i]) * (z[k, j] - means[j]) for k in range(n)) / (n - 1)) ** 2
    return total / d


@pytest.mark.parametrize("name", BATCHES)
def test_terms_are_the_plain_reference(name):
    z = BATCHES[name]
    assert abs(float(lacking_spread(torch.from_numpy(z))) - variance_in_loops(z)) < 1e-6
    assert float(shared_spread(torch.from_numpy(z))) == pytest.approx(covariance_in_loops(z), rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("weights", [(25, 25, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_loss_is_the_weighted_sum(tmp_path, weights):
    session = placed_session(tmp_path)
    config = CONFIG.model_copy(update=dict(zip(("invariance", "variance", "covariance"), weights, strict=True)))
    objective = build_objective(config, NETWORK, 0).double()
    samples = [objective.views(session, generator(0, "v", i)) for i in range(4)]
    batch = {k: torch.stack([s[k] for s in samples]).double() for k in samples[0]}
    first = objective.embed(batch).detach().numpy()
    second = objective.embed({"first": batch["second"]}).detach().numpy()
    terms = (
        ((first - second) ** 2).mean(),
        (variance_in_loops(first) + variance_in_loops(second)) / 2,
        covariance_in_loops(first) + covariance_in_loops(second),
    )
    expected = sum(w * t for w, t in zip(weights, terms, strict=True))
    assert abs(float(objective(batch).detach()) - expected) < 1e-6


def test_published_weights_and_alike_embeddings_get_a_push():
    assert (CONFIG.invariance, CONFIG.variance, CONFIG.covariance) == (25, 25, 1)
    z = torch.full((4, 3), 2.0) + 1e-3 * torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    z.requires_grad_()
    lacking_spread(z).backward()
    assert z.grad.isfinite().all()
    assert (z.grad != 0).any()
