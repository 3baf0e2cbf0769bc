"""Guards the one interface of all backbones: what a section promises is what comes out, and everything runs on it."""

import pytest
import torch
from backbones import NETWORKS
from torch.nn import functional

from cairn.config.objectives import MaeConfig
from cairn.errors import CairnError
from cairn.nets.decoders import LightDecoder, SkipDecoder
from cairn.nets.encoder import seeded
from cairn.nets.models import build_model
from cairn.nets.registry import ENCODERS, build_encoder
from cairn.ssl.registry import build_objective


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def made(config, seed=1):
    with seeded(seed):
        return build_encoder(config)


@pytest.fixture(params=sorted(NETWORKS))
def config(request):
    return NETWORKS[request.param]


def test_every_kind_is_tried():
    """Those of slices in test_slice_encoder.py."""
    assert {c.kind for c in NETWORKS.values()} | {"dinov2", "pixels"} == set(ENCODERS)


@pytest.mark.parametrize("box", [(16, 24, 16), (32, 16, 16)])
def test_channels_and_strides_are_true(config, box):
    features = made(config)(noise(2, 1, *box))
    assert len(features) == len(config.channels) == len(config.strides)
    for f, channels, stride in zip(features, config.channels, config.strides, strict=True):
        assert f.shape == (2, channels, *(n // stride for n in box))
        assert f.isfinite().all()
    assert config.stride == config.strides[-1] == max(config.strides)


def test_every_weight_is_reached_by_the_gradient(config):
    encoder = made(config)
    features = encoder(noise(1, 1, 24, 24, 24))
    sum((f * noise(*f.shape)).sum() for f in features).backward()
    assert [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_seed_gives_the_same_start_and_the_same_gradient(config):
    def run(seed):
        encoder = made(config, seed)
        features = encoder(noise(1, 1, 16, 16, 16))
        sum(f.square().sum() for f in features).backward()
        return {n: (p.detach(), p.grad) for n, p in encoder.named_parameters()}

    first, again, other = run(1), run(1), run(2)
    assert all(torch.equal(a, b) for n in first for a, b in zip(first[n], again[n], strict=True))
    assert any(not torch.equal(first[n][0], other[n][0]) for n in first)


def test_a_volume_that_does_not_divide_is_refused(config):
    with pytest.raises(CairnError, match=r"does not divide by its stride.*Take multiples of"):
        made(config)(noise(1, 1, 16, 16, 17))


def test_decoders_end_at_the_voxels(config):
    box = (16, 24, 16)
    features = made(config)(noise(1, 1, *box))
    assert LightDecoder(config)(features[-1]).shape == (1, 1, *box)
    assert SkipDecoder(config)(features).shape == (1, 1, *box)


def test_masked_autoencoding_takes_a_step(config):
    objective = build_objective(MaeConfig(patch_voxels=(16, 16, 16)), config, seed=3)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=1e-3)
    target = noise(2, 16, 16, 16)
    batch = {"view": target * (target > 0), "target": target, "hidden": target <= 0}
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = objective(batch)
        loss.backward()
        assert all(p.grad is not None for p in objective.decoder.parameters())
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert objective.embed(batch).shape == (2, 2 * config.channels[-1])


@pytest.mark.parametrize("dense", [False, True])
def test_a_task_model_runs_and_learns(config, dense):
    model = build_model(config, dense, seed=3)
    model.set_prior(-2.0)
    sequences = torch.tensor([[3, 4], [3, -1]])
    x = noise(2, 2, 16, 16, 24)
    logits = model(x, sequences)
    assert logits.shape == ((2, 16, 16, 24) if dense else (2,))
    functional.binary_cross_entropy_with_logits(logits, torch.ones_like(logits)).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


def test_the_plan_refuses_a_view_that_does_not_divide():
    with pytest.raises(CairnError, match="does not divide by the stride of the network, 8"):
        MaeConfig(patch_voxels=(16, 16, 20)).check(NETWORKS["vit"])
