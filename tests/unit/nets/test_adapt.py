"""Guards the modes of fine-tuning: what stays stays bit for bit; adapters start at nothing and merge into the model."""

import pytest
import torch
from backbones import NETWORKS
from torch.nn import functional

from cairn.config.training import FinetuneConfig
from cairn.nets.adapt import LowRank, adapt, merged, trained
from cairn.nets.blocks import parameters
from cairn.nets.models import build_model

SEQUENCES = torch.tensor([[3, 4]])


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def recipe(mode, **more):
    return FinetuneConfig(mode=mode, lora_rank=2, lora_alpha=8, **more)


def train(model, steps=2):
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(steps):
        model.train()
        optimizer.zero_grad()
        logits = model(noise(1, 2, 16, 16, 16), SEQUENCES)
        functional.binary_cross_entropy_with_logits(logits, torch.ones_like(logits)).backward()
        optimizer.step()


def test_full_changes_nothing_of_the_model():
    model = build_model(NETWORKS["residual"], True, 0)
    before = list(model.state_dict())
    adapt(model, recipe("full"), 1)
    assert trained(model) == parameters(model)
    state = dict(model.state_dict())
    assert merged(model, state) is state
    assert list(state) == before


@pytest.mark.parametrize("name", ["residual", "primus"])
def test_a_frozen_encoder_stays_and_the_rest_learns(name):
    model = build_model(NETWORKS[name], False, 0)
    adapt(model, recipe("frozen"), 1)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    train(model)
    after = model.state_dict()
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert not any(k.startswith("encoder.") for k in changed)
    assert {"head.weight", "head.bias"} <= changed
    assert not any(m.training for m in model.encoder.modules())
    assert model.head.training
    assert trained(model) == parameters(model.head) + parameters(model.fusions)


@pytest.mark.parametrize("name", sorted(NETWORKS))
@pytest.mark.parametrize("dense", [False, True])
def test_adapters_start_at_nothing_and_merge_exactly(name, dense):
    model = build_model(NETWORKS[name], dense, 0)
    plain = {k: v.clone() for k, v in model.state_dict().items()}
    x = noise(1, 2, 16, 16, 16)
    with torch.no_grad():
        before = model.eval()(x, SEQUENCES)
        adapt(model, recipe("lora"), 1)
        torch.testing.assert_close(model.eval()(x, SEQUENCES), before, rtol=0, atol=0)
    train(model)
    with torch.no_grad():
        unmerged = model.eval()(x, SEQUENCES)
    other = build_model(NETWORKS[name], dense, 5)
    other.load_state_dict(merged(model, dict(model.state_dict())))  # a plain model takes it
    with torch.no_grad():
        torch.testing.assert_close(other.eval()(x, SEQUENCES), unmerged, rtol=1e-5, atol=1e-5)
    changed = {k for k, v in other.state_dict().items() if k.startswith("encoder.") and not torch.equal(v, plain[k])}
    assert changed
    assert all(k.endswith("weight") and plain[k].ndim > 1 for k in changed)


def test_every_linear_layer_and_convolution_of_a_transformer_learns():
    model = build_model(NETWORKS["vit"], False, 0)
    adapt(model, recipe("lora"), 1)
    layers = [m for m in model.encoder.modules() if hasattr(m, "parametrizations")]
    assert len(layers) == 1 + 2 * 4  # patches; per block qkv, out and two of the feed-forward layer
    train(model)
    for layer in layers:
        assert layer.parametrizations.weight[0].up.abs().sum() > 0
        assert layer.parametrizations.weight.original.grad is None


def test_a_convolution_s_adapter_is_one_of_its_kernel_then_one_by_one():
    weight = noise(6, 4, 3, 3, 3)
    adapter = LowRank(weight, rank=2, alpha=3.0)
    torch.nn.init.normal_(adapter.up)
    x = noise(1, 4, 8, 8, 8)
    thin = functional.conv3d(x, adapter.down.view(2, 4, 3, 3, 3), stride=2, padding=1)
    beside = functional.conv3d(thin, adapter.up.view(6, 2, 1, 1, 1)) * 3.0 / 2
    expected = functional.conv3d(x, weight, stride=2, padding=1) + beside
    torch.testing.assert_close(
        functional.conv3d(x, adapter(weight), stride=2, padding=1), expected, rtol=1e-4, atol=1e-4
    )


def test_depthwise_convolutions_have_no_adapter():
    model = build_model(NETWORKS["mednext"], False, 0)
    adapt(model, recipe("lora"), 1)
    adapted = [m for m in model.encoder.modules() if hasattr(m, "parametrizations")]
    assert adapted
    assert all(m.groups == 1 for m in adapted)


def test_a_seed_decides_the_adapters():
    def down(seed):
        model = build_model(NETWORKS["residual"], False, 0)
        adapt(model, recipe("lora"), seed)
        return model.encoder.stem.conv.parametrizations.weight[0].down

    assert torch.equal(down(1), down(1))
    assert not torch.equal(down(1), down(2))
