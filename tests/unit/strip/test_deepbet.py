"""Guards reading and running the packaged weights (here stand-ins): boxes, sizes, cleaning, errors."""

import zipfile

import numpy as np
import pytest
from made_wheel import make_wheel
from phantom_head import dice

from cairn.errors import CairnError
from cairn.strip.deepbet import DeepBet


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return make_wheel(tmp_path_factory.mktemp("wheel") / "deepbet.whl")


def head(shape=(70, 84, 50), hole=True):
    index = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"), -1)
    radius = np.linalg.norm(index - [0.1, -0.05, 0.2], axis=-1)
    brain = radius < 0.5
    data = np.where(brain, 100.0, 5.0).astype(np.float32)
    data[:3, :3, :3] = 100  # an island
    if hole:
        data[radius < 0.08] = 0
    return data, brain


@pytest.mark.parametrize("side", [None, 64, 96])
def test_mask_is_the_brain_without_island_and_hole_at_the_heads_own_size(wheel, side):
    data, brain = head()
    mask = DeepBet(wheel, side).mask(data, (2, 2, 3))
    assert mask.shape == data.shape
    assert mask.dtype == bool
    assert dice(mask, brain) > 0.97
    assert not mask[:3, :3, :3].any()
    assert mask[38, 40, 30]  # within the hole


def test_the_same_head_gives_the_same_mask(wheel):
    net = DeepBet(wheel, 64)
    assert np.array_equal(net.mask(head()[0], (1, 1, 1)), net.mask(head()[0], (1, 1, 1)))


def test_not_a_number_and_scale_change_nothing(wheel):
    data, brain = head()
    spoiled = data * 31
    spoiled[-1, -1, -1] = np.nan
    assert dice(DeepBet(wheel, None).mask(spoiled, (1, 1, 1)), brain) > 0.97


def test_a_scan_without_brain_is_said_to_have_none(tmp_path):
    wheel = make_wheel(tmp_path / "deaf.whl", threshold=1e6)
    for side in (None, 64):
        with pytest.raises(CairnError) as refused:
            DeepBet(wheel, side).mask(head()[0], (1, 1, 1))
        assert refused.value.code == "no-brain"
        assert refused.value.remedy


def test_a_constant_scan_does_not_divide_by_zero(wheel):
    with pytest.raises(CairnError, match="no brain"):
        DeepBet(wheel, None).mask(np.full((30, 30, 30), 4, np.float32), (1, 1, 1))


def test_missing_or_hollow_wheels_and_wrong_sides_are_named(tmp_path):
    with pytest.raises(CairnError, match=r"absent\.whl: holds no deepbet weights"):
        DeepBet(tmp_path / "absent.whl")
    with zipfile.ZipFile(tmp_path / "hollow.whl", "w") as archive:
        archive.writestr("readme", "")
    with pytest.raises(CairnError) as hollow:
        DeepBet(tmp_path / "hollow.whl")
    assert hollow.value.code == "resource"
    with pytest.raises(CairnError, match="multiple of 32"):
        DeepBet(tmp_path / "absent.whl", side=100)
