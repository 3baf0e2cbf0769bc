"""Guards counting: nothing is allocated, the numbers are those of real modules, and the page says them."""

import torch
from backbones import NETWORKS

from cairn.nets.blocks import parameters
from cairn.nets.models import build_model
from cairn.nets.registry import build_encoder
from cairn.nets.size import PAGE, count, counts, page, sizes


def test_counts_are_those_of_real_modules():
    for config in NETWORKS.values():
        found = counts(config)
        assert found["encoder"] == parameters(build_encoder(config))
        assert found["dense"] == parameters(build_model(config, True, 0))
        assert found["pooled"] == parameters(build_model(config, False, 0))


def test_counting_draws_nothing():
    before = torch.get_rng_state()
    count(lambda: build_encoder(NETWORKS["vit"]))
    assert torch.equal(before, torch.get_rng_state())


def test_the_page_is_in_step(repository):
    assert page(repository) == (repository / PAGE).read_text(), "run `python -m cairn.nets.size --fix`"


def test_sizes_of_the_field_are_all_there(repository):
    kinds = {c.kind for c in sizes(repository / "config/backbones.yaml").values()}
    assert kinds == {c.kind for c in NETWORKS.values()} | {"dinov2"}
