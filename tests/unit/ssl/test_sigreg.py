"""Guards SIGReg: against loops over the integral, what it is of normal and collapsed embeddings, its gradient."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from cairn.ssl.sigreg import sigreg


def in_loops(x, directions, points):
    """Trapezoid from -5 to 5 of |empirical - normal characteristic function|^2 under a Gaussian weight, in complex."""
    t = np.linspace(-5, 5, points)
    each = []
    for direction in directions:
        h = x @ (direction / np.linalg.norm(direction))
        empirical = np.array([np.mean(np.exp(1j * u * h)) for u in t])
        each.append(np.trapezoid(np.abs(empirical - np.exp(-(t**2) / 2)) ** 2 * np.exp(-(t**2) / 2), t))
    return len(x) * np.mean(each)


@pytest.mark.parametrize("points", [3, 8, 17])
@pytest.mark.parametrize("count", [1, 13])
def test_it_is_the_plain_reference(count, points):
    rng = np.random.default_rng(count)
    x, directions = rng.normal(1, 2, (count, 6)), rng.normal(size=(5, 6))
    found = sigreg(torch.from_numpy(x), torch.from_numpy(directions), points)
    assert abs(float(found) - in_loops(x, directions, points)) < 1e-6


def test_of_one_direction_it_is_epps_and_pulleys_statistic():
    """Their closed form for a known mean and variance: pairs of samples, with nothing integrated numerically."""
    x = np.random.default_rng(0).normal(size=40)
    pairs = np.subtract.outer(x, x)
    closed = math.sqrt(2 * math.pi) * (
        np.exp(-(pairs**2) / 2).sum() / 40 - math.sqrt(2) * np.exp(-(x**2) / 4).sum() + 40 / math.sqrt(3)
    )
    found = float(sigreg(torch.from_numpy(x[:, None]), torch.ones(1, 1).double(), 401))
    assert abs(found - closed) < 1e-4


def test_it_is_low_for_normal_and_high_for_collapsed_embeddings():
    rng = np.random.default_rng(1)
    directions = torch.from_numpy(rng.normal(size=(64, 8)))
    quantiles = norm.ppf((np.arange(64) + 0.5) / 64)
    normal = torch.from_numpy(np.stack([rng.permutation(quantiles) for _ in range(8)], axis=1))
    point, line = torch.ones(64, 8).double(), normal[:, :1].repeat(1, 8)
    found = {
        n: float(sigreg(x, directions, 17)) for n, x in (("n", normal), ("p", point), ("l", line), ("w", 3 * normal))
    }
    assert found["n"] < 2
    assert min(found["p"], found["l"], found["w"]) > 3 * found["n"]


def test_its_gradient_spreads_a_collapsed_batch():
    torch.manual_seed(0)
    x = (0.01 * torch.randn(64, 4)).requires_grad_()
    directions, before = torch.randn(32, 4), None
    for _ in range(300):
        loss = sigreg(x, directions, 17)
        before = before or float(loss.detach())
        (gradient,) = torch.autograd.grad(loss, x)
        x = (x - 0.3 * gradient).detach().requires_grad_()
    assert float(loss.detach()) < 0.1 * before
    assert 0.7 < float(x.detach().std()) < 1.3


def test_it_is_not_narrowed_to_bfloat16():
    torch.manual_seed(0)
    x, directions = torch.randn(9, 4), torch.randn(3, 4)
    exact = sigreg(x, directions, 17)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(exact, sigreg(x, directions, 17))
