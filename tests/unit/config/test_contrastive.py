"""Guards objectives' configuration: a union told apart by kind, and what cannot run is refused with a remedy."""

import pytest

from cairn.config.base import Section, parse
from cairn.config.contrastive import MocoConfig, SimclrConfig, VicregConfig, VocoConfig
from cairn.config.networks import ResidualConfig
from cairn.config.objectives import MaeConfig, ObjectiveConfig
from cairn.errors import CairnError

NETWORK = ResidualConfig(channels=(4, 6, 8), blocks=(0, 1, 1))


class Holder(Section):
    objective: ObjectiveConfig


@pytest.mark.parametrize("kind", [MaeConfig, SimclrConfig, MocoConfig, VicregConfig, VocoConfig])
def test_a_kind_is_told_and_one_deepest_voxel_is_refused(kind):
    name = kind().kind
    assert type(parse(Holder, {"objective": {"kind": name}}).objective) is kind
    kind(patch_voxels=(16, 8, 8)).check(NETWORK)
    with pytest.raises(CairnError, match=f"{name}.*keeps one voxel"):
        kind(patch_voxels=(8, 8, 8)).check(NETWORK)
    with pytest.raises(CairnError, match=f"{name}.*does not divide"):
        kind(patch_voxels=(16, 12, 16)).check(NETWORK)


@pytest.mark.parametrize("kind", [SimclrConfig, VicregConfig])
def test_a_loss_that_compares_samples_wants_two(kind):
    kind().check_batch(2)
    with pytest.raises(CairnError, match="batch_size is 1"):
        kind().check_batch(1)
    MaeConfig().check_batch(1)
    VocoConfig().check_batch(1)


def test_a_queue_holds_a_batch():
    MocoConfig(queue=4).check_batch(4)
    with pytest.raises(CairnError, match="queue of 3 does not hold a batch of 4"):
        MocoConfig(queue=3).check_batch(4)


def test_a_grid_of_one_base_crop_is_refused():
    with pytest.raises(CairnError, match="one base crop"):
        VocoConfig(grid=(1, 1, 1)).check(ResidualConfig())


@pytest.mark.parametrize(
    ("data", "message"),
    [({"kind": "mocco"}, "'moco'"), ({"patch_voxels": [16, 16, 16]}, "kind"),
     ({"kind": "moco", "momentum": 0.9, "momentum_end": 0.8}, "below momentum"),
     ({"kind": "simclr", "temperatur": 1}, r"unknown key 'objective.*temperatur' \(did you mean 'temperature'"),
     ({"kind": "vicreg", "expander": []}, "expander")],
)  # fmt: skip
def test_mistakes_are_told(data, message):
    with pytest.raises(CairnError, match=message):
        parse(Holder, {"objective": data})
