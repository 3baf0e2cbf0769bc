"""Guards SimCLR: two crops of one scan that share a region, compared by NT-Xent of their projections."""

import pytest
import torch
from placed import PLAIN, STILL, placed_session, places

from cairn.config.contrastive import SimclrConfig
from cairn.config.networks import ResidualConfig
from cairn.ssl.draws import generator
from cairn.ssl.heads import nt_xent
from cairn.ssl.registry import build_objective

NETWORK = ResidualConfig(channels=(4, 6), blocks=(0, 1))
CONFIG = SimclrConfig(patch_voxels=(8, 8, 8), projector=(8, 4))


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    return placed_session(tmp_path_factory.mktemp("placed"))


def test_positives_are_one_scan_at_places_that_overlap(session):
    plain = CONFIG.model_copy(update={"spatial": STILL, "intensity": PLAIN})
    for number in range(10):
        views = build_objective(plain, NETWORK, 0).views(session, generator(0, "v", number))
        first, second = (set(map(tuple, places(views[k]))) for k in ("first", "second"))
        assert len(first & second) >= 4**3
        assert views["first"].sign().unique().tolist() == views["second"].sign().unique().tolist()


def test_each_crop_is_changed_on_its_own_and_by_the_draw_alone(session):
    same_place = build_objective(CONFIG.model_copy(update={"overlap": 1.0}), NETWORK, 0)
    views = same_place.views(session, generator(0, "v", 1))
    assert not torch.equal(views["first"], views["second"])
    torch.rand(3)
    again = same_place.views(session, generator(0, "v", 1))
    assert all(torch.equal(views[k], again[k]) for k in views)


def test_loss_and_embedding_are_of_projections(session):
    objective = build_objective(CONFIG, NETWORK, 0)
    samples = [objective.views(session, generator(0, "v", i)) for i in range(3)]
    batch = {k: torch.stack([s[k] for s in samples]) for k in samples[0]}
    swapped = {"first": batch["second"], "second": batch["first"]}
    expected = nt_xent(objective.embed(batch), objective.embed(swapped), CONFIG.temperature)
    assert torch.equal(objective(batch), expected)
    assert objective.embed(batch).shape == (3, 4)
