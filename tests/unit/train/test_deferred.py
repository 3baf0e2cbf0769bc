"""Guards models that never exist whole: built share by share, they equal what is built the plain way, bit by bit."""

import copy

import pytest
import torch
from together import OBJECTIVES, VIT, job
from torch import nn

from cairn.errors import CairnError
from cairn.nets.encoder import seeded
from cairn.ssl.registry import build_objective
from cairn.train import deferred
from cairn.train.deferred import outlined

CPU = torch.device("cpu")


def tensors(module):
    return dict(module.named_parameters()) | dict(module.named_buffers())


@pytest.mark.parametrize("network", ["own", "vit"])
@pytest.mark.parametrize("kind", OBJECTIVES)
def test_every_objective_starts_as_if_built_whole(kind, network):
    of = job(kind)
    if network == "vit" and of.objective.dims == 3:
        of = of.model_copy(update={"network": type(job("mae", "fsdp").network)(**VIT)})
    whole = tensors(build_objective(of.objective, of.network, 7))
    module, start = outlined(lambda: build_objective(of.objective, of.network, 7), 7)
    assert all(p.is_meta for p in module.parameters())
    before = torch.random.get_rng_state()
    start.fill(module, CPU, 0, 1)
    assert torch.equal(before, torch.random.get_rng_state())
    made = tensors(module)
    assert made.keys() == whole.keys()
    assert all(torch.equal(made[name], whole[name]) for name in whole)
    assert [n for n, p in made.items() if p.requires_grad] == [n for n, p in whole.items() if p.requires_grad]


def layers(count=6, width=64):
    """A student and its copy, with the random start of transformers, drawn after all layers are there."""
    with seeded(3):
        student = nn.Sequential(*(nn.Linear(width, width) for _ in range(count)))
        for layer in student:
            nn.init.trunc_normal_(layer.weight, std=0.02)
        return nn.ModuleList([student, copy.deepcopy(student)])


@pytest.mark.parametrize("rank", range(3))
def test_a_process_makes_its_rows_and_never_holds_the_whole(monkeypatch, rank):
    whole, (_, start) = tensors(layers()), outlined(layers, 3)
    held, do = [], deferred._do

    def watched(step, values):
        do(step, values)
        held.append(sum(v.untyped_storage().nbytes() for v in values.values()))

    monkeypatch.setattr(deferred, "_do", watched)
    places = {place.storage: name for name, place in start.places.items()}
    made = deferred._repeat(start.steps, 3, set(places), set(places), rank, 3)
    for storage, name in places.items():
        assert torch.equal(made[storage], whole[name].chunk(3)[rank]), name
    total, largest = sum(t.nbytes for t in whole.values()), max(t.nbytes for t in whole.values())
    assert max(held) <= total / 3 * 1.05 + 2 * largest < total * 0.7


def test_what_has_no_value_or_shares_memory_is_refused():
    def empty():
        module = nn.Module()
        module.x = nn.Parameter(torch.empty(3))
        return module

    def part():
        module = nn.Module()
        module.x = nn.Parameter(torch.ones(4, 4)[1:])
        return module

    for make in (empty, part):
        with pytest.raises(CairnError, match="x: part of a larger tensor, or without a value"):
            outlined(make, 0)
