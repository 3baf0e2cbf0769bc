"""Guards the contrastive losses against loops over NumPy numbers, and that a projector looks at one sample alone."""

import numpy as np
import pytest
import torch
from torch import nn

from cairn.ssl.heads import info_nce, nt_xent, projector


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def nt_xent_in_loops(a, b, temperature):
    z, n = unit(np.concatenate([a, b])), len(a)
    losses = []
    for i in range(2 * n):
        partner = (i + n) % (2 * n)
        others = [z[i] @ z[k] / temperature for k in range(2 * n) if k != i]
        top = max(others)
        losses.append(top + np.log(sum(np.exp(o - top) for o in others)) - z[i] @ z[partner] / temperature)
    return np.mean(losses)


def info_nce_in_loops(query, keys, negatives, temperature):
    losses = []
    for q, k in zip(unit(query), keys, strict=True):
        logits = np.array([q @ k, *(q @ n for n in negatives)]) / temperature
        losses.append(logits.max() + np.log(np.exp(logits - logits.max()).sum()) - logits[0])
    return np.mean(losses)


def batches():
    rng = np.random.default_rng(0)
    yield "random", rng.normal(size=(5, 7)), rng.normal(size=(5, 7))
    yield "pair", rng.normal(size=(2, 3)), rng.normal(size=(2, 3))
    yield "single", rng.normal(size=(1, 3)), rng.normal(size=(1, 3))
    yield "large", 1e3 * rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    same = rng.normal(size=(4, 6))
    yield "positives equal", same, same
    yield "all alike", np.ones((3, 4)), np.ones((3, 4))
    yield "nothing", np.zeros((3, 4)), np.zeros((3, 4))
    yield "one dimension", rng.normal(size=(4, 1)), rng.normal(size=(4, 1))


@pytest.mark.parametrize("temperature", [0.05, 0.5, 100.0])
@pytest.mark.parametrize(("name", "a", "b"), list(batches()))
def test_nt_xent_is_the_plain_reference(name, a, b, temperature):
    found = float(nt_xent(torch.from_numpy(a), torch.from_numpy(b), temperature))
    assert abs(found - nt_xent_in_loops(a, b, temperature)) < 1e-6


@pytest.mark.parametrize("negatives", [0, 1, 9])
@pytest.mark.parametrize(("name", "a", "b"), list(batches()))
def test_info_nce_is_the_plain_reference(name, a, b, negatives):
    others = unit(np.random.default_rng(1).normal(size=(negatives, a.shape[1])))
    found = float(info_nce(torch.from_numpy(a), torch.from_numpy(unit(b)), torch.from_numpy(others), 0.1))
    assert abs(found - info_nce_in_loops(a, unit(b), others, 0.1)) < 1e-6


def test_losses_are_not_narrowed_under_autocast():
    rng = np.random.default_rng(2)
    a, b = (torch.from_numpy(rng.normal(size=(6, 32)).astype(np.float32)) for _ in range(2))
    plain = nt_xent(a, b, 0.05)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(nt_xent(a, b, 0.05), plain)


def test_a_projector_looks_at_one_sample_alone_and_ends_linear():
    head = projector(6, (8, 4)).train()
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(head(x)[:2], head(x[:2]), atol=1e-6)
    assert [type(layer) for layer in head] == [nn.Linear, nn.LayerNorm, nn.ReLU, nn.Linear]
    assert head(x).shape == (5, 4)
    assert [type(layer) for layer in projector(6, (3,))] == [nn.Linear]
