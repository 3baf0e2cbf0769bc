"""Guards heads, NT-Xent and hiding, each against a plain reference."""

import math

import numpy as np
import pytest
import torch

from cairn.ssl.heads import nt_xent, projector
from cairn.ssl.hidden import cubes, hide, reconstruction_error
from cairn.ssl.latents_heads import PrototypeHead


def unit(x):
    return x / max(np.linalg.norm(x), 1e-12)


def plain_nt_xent(a, b, temperature):
    z = [unit(row) for row in (*a, *b)]
    total = 0.0
    for i, zi in enumerate(z):
        partner = (i + len(a)) % len(z)
        others = [math.exp(zi @ zj / temperature) for j, zj in enumerate(z) if j != i]
        total -= math.log(math.exp(zi @ z[partner] / temperature) / sum(others))
    return total / len(z)


@pytest.mark.parametrize(("count", "temperature"), [(5, 0.5), (2, 0.1), (1, 0.5)])
def test_nt_xent_is_the_plain_reference(count, temperature):
    rng = np.random.default_rng(count)
    a, b = rng.standard_normal((2, count, 7))
    found = float(nt_xent(torch.from_numpy(a), torch.from_numpy(b), temperature))
    assert abs(found - plain_nt_xent(a, b, temperature)) < 1e-6


def test_nt_xent_of_degenerate_batches():
    same = torch.ones(4, 3).double()
    assert abs(float(nt_xent(same, same, 0.5)) - math.log(7)) < 1e-6  # all alike: a guess among seven
    assert abs(float(nt_xent(torch.zeros(4, 3).double(), torch.zeros(4, 3).double(), 0.5)) - math.log(7)) < 1e-6
    apart = torch.eye(4).double()
    assert float(nt_xent(apart, apart, 0.05)) < 1e-6


def test_prototypes_are_compared_by_direction_alone():
    torch.manual_seed(0)
    head = PrototypeHead(6, 8, 5, 11).double()
    x = torch.randn(4, 6).double()
    out = head(x)
    z = head.perceptron(x).detach().numpy()
    w = head.prototypes.detach().numpy()
    expected = np.array([[unit(a) @ unit(b) for b in w] for a in z])
    np.testing.assert_allclose(out.detach().numpy(), expected, atol=1e-6)
    with torch.no_grad():
        head.prototypes *= torch.rand(11, 1).double() + 0.5
    assert torch.allclose(head(x), out)


def test_a_perceptron_has_no_batch_in_it():
    torch.manual_seed(0)
    net = projector(3, [8, 2], torch.nn.GELU)
    x = torch.randn(5, 3)
    assert torch.allclose(net(x)[2], net(x[2:3])[0], atol=1e-6)


def test_hidden_cubes_are_zero_and_nothing_else():
    coarse = torch.zeros(1, 2, 2, 3, dtype=torch.bool)
    coarse[0, 1, 0, 2] = True
    x = torch.rand(1, 8, 8, 12) + 1
    seen = hide(x, coarse)
    assert (seen[0, 4:, :4, 8:] == 0).all()
    assert (seen == 0).sum() == 64
    assert torch.equal(seen[seen != 0], x[~cubes(coarse, 4)])


def test_reconstruction_error_is_the_plain_reference():
    rng = np.random.default_rng(0)
    image, target = rng.standard_normal((2, 2, 3, 4, 5))
    hidden = rng.random((2, 3, 4, 5)) < 0.4
    squared = (image - target) ** 2
    a, b, h = map(torch.from_numpy, (image, target, hidden))
    assert abs(float(reconstruction_error(a, b, None)) - squared.mean()) < 1e-6
    assert abs(float(reconstruction_error(a, b, h)) - squared[hidden].mean()) < 1e-6
