"""Guards what a GPU is given: weights channels last, which changes neither values nor what is written of them."""

import copy

import pytest
import torch
from latents import section
from learning import finetune_job

from cairn.config.base import parse
from cairn.config.objectives import MaeConfig
from cairn.config.training import OptimConfig
from cairn.nets.weights import read_tensors, save_weights
from cairn.ssl.registry import build_objective
from cairn.train.devices import channels_last, for_speed
from cairn.train.distributed import ALONE
from cairn.train.jobs import FinetuneJob
from cairn.train.optim import make_optimizer, moments, restore_moments

CHANNELS_LAST = torch.channels_last_3d


@pytest.fixture
def objective():
    network = parse(FinetuneJob, finetune_job("classification")).network
    return build_objective(parse(MaeConfig, section("mae")), network, 0)


def test_channels_last_is_a_layout_and_no_other_number(objective, tmp_path):
    plain = copy.deepcopy(objective)
    channels_last(objective)
    wide = [p for p in objective.parameters() if p.dim() == 5 and p.shape[1] > 1]
    assert wide
    assert all(p.is_contiguous(memory_format=CHANNELS_LAST) for p in wide)
    x = torch.randn(2, 1, 16, 16, 16)
    deep, expected = objective.encoder(x)[-1], plain.encoder(x)[-1]
    torch.testing.assert_close(deep, expected, atol=1e-5, rtol=1e-5)
    for name, module in (("plain", plain), ("last", objective)):
        save_weights(tmp_path / name, module.state_dict(), {})
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "last").read_bytes()


def test_loading_and_moments_keep_the_layout(objective, tmp_path):
    channels_last(objective)
    optimizer = make_optimizer(objective, OptimConfig())
    objective.encoder(torch.randn(1, 1, 16, 16, 16))[-1].square().sum().backward()
    optimizer.step()
    save_weights(tmp_path / "w", {f"model.{k}": v for k, v in objective.state_dict().items()}, {})
    save_weights(tmp_path / "m", moments(objective, optimizer), {})
    other = copy.deepcopy(objective)
    other.load_state_dict({k.removeprefix("model."): v for k, v in read_tensors(tmp_path / "w").items()})
    restored = make_optimizer(other, OptimConfig())
    restore_moments(other, restored, read_tensors(tmp_path / "m"), ALONE.part)
    for (name, own), its in zip(objective.named_parameters(), other.parameters(), strict=True):
        assert its.stride() == own.stride()
        if own in optimizer.state:
            for moment in ("exp_avg", "exp_avg_sq"):
                assert restored.state[its][moment].stride() == optimizer.state[own][moment].stride(), name
                assert torch.equal(restored.state[its][moment], optimizer.state[own][moment])
                assert not restored.state[its][moment].requires_grad


def test_a_cpu_is_given_nothing(objective):
    before = [p.stride() for p in objective.parameters()]
    for_speed(objective, torch.device("cpu"), OptimConfig())
    assert [p.stride() for p in objective.parameters()] == before
    assert objective.encoder._compiled_call_impl is None


@pytest.mark.parametrize(("last", "compiled"), [(True, False), (False, True)])
def test_a_gpu_is_given_what_is_configured(objective, last, compiled):
    for_speed(objective, torch.device("cuda"), OptimConfig(channels_last=last, compile=compiled))
    weights = [p for p in objective.encoder.parameters() if p.dim() == 5 and p.shape[1] > 1]
    assert all(p.is_contiguous(memory_format=CHANNELS_LAST) is last for p in weights if max(p.shape[2:]) > 1)
    assert (objective.encoder._compiled_call_impl is not None) is compiled
