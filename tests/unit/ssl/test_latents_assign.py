"""Guards targets and losses over prototypes: each against loops, on random and on degenerate batches."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from cairn.ssl.heads import nt_xent
from cairn.ssl.latents_align import roi_align
from cairn.ssl.latents_assign import centred, hidden_loss, koleo, sinkhorn, view_loss
from cairn.ssl.latents_heads import PrototypeHead


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def entropy(target, logits, temperature):
    return -sum(t * math.log(p) for t, p in zip(target, softmax(logits / temperature), strict=True))


def test_centring_is_the_plain_reference():
    rng = np.random.default_rng(0)
    logits, centre = rng.standard_normal((5, 7)), rng.standard_normal(7)
    expected = [softmax((row - centre) / 0.05) for row in logits]
    found = centred(torch.from_numpy(logits), torch.from_numpy(centre), 0.05)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(("samples", "prototypes"), [(12, 5), (3, 20)])
def test_sinkhorn_gives_each_sample_one_and_each_prototype_its_share(samples, prototypes):
    logits = torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (samples, prototypes)))
    plan = sinkhorn(logits, 0.3, 300)
    assert (plan.sum(dim=1) - 1).abs().max() < 1e-9
    assert (plan.sum(dim=0) - samples / prototypes).abs().max() < 1e-6
    assert (sinkhorn(logits, 0.04, 3).sum(dim=1) - 1).abs().max() < 1e-9  # samples, even when stopped early


def test_sinkhorn_is_the_plain_reference():
    """In the order of DINOv2: prototypes, then samples, three times."""
    logits = np.random.default_rng(2).uniform(-1, 1, (6, 4))
    q = np.exp(logits / 0.1)
    for _ in range(3):
        q = q / q.sum(axis=0, keepdims=True) / 4
        q = q / q.sum(axis=1, keepdims=True) / 6
    np.testing.assert_allclose(sinkhorn(torch.from_numpy(logits), 0.1, 3).numpy(), q * 6, atol=1e-6)


def test_sinkhorn_of_degenerate_batches():
    alike = torch.full((4, 8), 0.3).double()
    np.testing.assert_allclose(sinkhorn(alike, 0.04, 3).numpy(), 1 / 8, atol=1e-9)
    one = torch.tensor([[1.0, -1.0, 0.2]]).double()
    np.testing.assert_allclose(sinkhorn(one, 0.04, 3).numpy(), 1 / 3, atol=1e-9)  # nothing to balance against
    assert sinkhorn(torch.tensor([[1e4, -1e4], [1e4, -1e4]]), 0.04, 3).isfinite().all()


@pytest.mark.parametrize(("views", "count"), [(4, 3), (2, 1)])
def test_view_loss_is_the_plain_reference(views, count):
    rng = np.random.default_rng(3)
    targets = rng.dirichlet(np.ones(6), (2, count))
    logits = rng.uniform(-1, 1, (views, count, 6))
    pairs = [(t, v) for t in range(2) for v in range(views) if t != v]
    each = [entropy(targets[t, n], logits[v, n], 0.1) for t, v in pairs for n in range(count)]
    found = float(view_loss(torch.from_numpy(targets), torch.from_numpy(logits), 0.1))
    assert abs(found - np.mean(each)) < 1e-6


def test_hidden_loss_is_the_plain_reference():
    rng = np.random.default_rng(5)
    hidden = rng.random((3, 2, 3, 2)) < 0.4
    hidden[:, 0, 0, 0] = True
    crop_of = np.nonzero(hidden)[0]
    assert len(set(np.bincount(crop_of))) > 1
    targets, logits = rng.dirichlet(np.ones(5), len(crop_of)), rng.uniform(-1, 1, (len(crop_of), 5))
    each = np.array([entropy(t, x, 0.1) for t, x in zip(targets, logits, strict=True)])
    expected = np.mean([each[crop_of == n].mean() for n in range(3)])
    found = hidden_loss(torch.from_numpy(targets), torch.from_numpy(logits), torch.from_numpy(hidden), 0.1)
    assert abs(float(found) - expected) < 1e-6


@pytest.mark.parametrize("count", [2, 9])
def test_koleo_is_the_plain_reference(count):
    x = np.random.default_rng(count).standard_normal((count, 5))
    unit = [row / np.linalg.norm(row) for row in x]
    nearest = [min(np.linalg.norm(a - b) for j, b in enumerate(unit) if j != i) for i, a in enumerate(unit)]
    assert abs(float(koleo(torch.from_numpy(x))) + np.mean(np.log(nearest))) < 1e-6


def test_koleo_of_degenerate_batches():
    alone = torch.randn(1, 5, requires_grad=True)
    assert float(koleo(alone).detach()) == 0.0
    for dtype in (torch.float32, torch.float64):
        alike = torch.ones(3, 5, dtype=dtype, requires_grad=True)
        loss = koleo(alike)
        loss.backward()
        assert 10 < float(loss.detach()) < 20  # alike is the worst there is
        assert alike.grad.isfinite().all()


def test_losses_are_not_narrowed_to_bfloat16():
    """On a GPU the loop runs everything under autocast."""
    torch.manual_seed(0)
    x, y = torch.randn(2, 6, 8)
    targets, logits = torch.rand(2, 3, 5).softmax(dim=2), torch.randn(4, 3, 5)
    place, low, high = torch.randn(1, 2, 3, 3, 3), torch.full((1, 3), 3.3).double(), torch.full((1, 3), 9.1).double()
    head = PrototypeHead(8, 8, 4, 7)
    with torch.no_grad():
        z = head.perceptron(x)
        plain = functional.normalize(z, dim=1) @ functional.normalize(head.prototypes, dim=1).T
        head.perceptron = torch.nn.Identity()

    def losses():
        return (
            koleo(x), view_loss(targets, logits, 0.1), nt_xent(x, y, 0.5), roi_align(place, low, high, 4, 3),
            head(z),
        )  # fmt: skip

    exact = losses()
    assert torch.allclose(exact[-1], plain, atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        assert all(torch.equal(a, b) for a, b in zip(exact, losses(), strict=True))


def test_koleo_pushes_apart():
    x = torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0]], requires_grad=True)
    before = koleo(x)
    before.backward()
    assert koleo(x - 0.01 * x.grad) < before
