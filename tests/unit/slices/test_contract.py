"""Guards the input contract against a plain reference (NumPy and Pillow), version by version, and what it refuses."""

import numpy as np
import pytest
import torch
from PIL import Image

from cairn.config.slices import SliceContract
from cairn.errors import CairnError
from cairn.slices.contract import int16_slope, network_input

DRAW = np.random.default_rng(7)
# A head in air: -1024 around, fractions of Hounsfield units, bone to 1500.
STACK = np.where(DRAW.random((3, 40, 50)) < 0.3, -1024.0, DRAW.normal(60, 400, (3, 40, 50))).astype(np.float32)


def contract(version, size=24, clip=False):
    return SliceContract(version=version, size_px=size, clip_below_air=clip)


def resized(image, size):
    """Pillow's bicubic, which averages where it shrinks; columns by rows."""
    return np.asarray(Image.fromarray(image.astype(np.float32)).resize((size, size), Image.Resampling.BICUBIC), float)


def zscored(x):
    return (x - x.mean()) / (x.std() + 1e-6)


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("size", [24, 64])
def test_curia_2_is_clip_resize_and_a_z_score_of_every_slice(clip, size):
    found, name = network_input(STACK, contract("curia-2", size, clip))
    raw = np.maximum(STACK, -1000) if clip else STACK
    expected = np.stack([zscored(resized(s, size)) for s in raw])
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-5)
    assert name == f"curia-2, {size} px" + (", clipped at air" if clip else "")


def test_curia_1_casts_divides_and_takes_one_z_score_of_the_volume():
    found, name = network_input(STACK, contract("curia-1"))
    scaled = STACK.astype(np.int16).astype(np.float32) / 32767
    expected = zscored(np.stack([resized(s, 24) for s in scaled]))
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-5)
    assert name == "curia-1, 24 px"
    # The published clip comes after the division: it changes nothing, and the name does not claim it.
    assert torch.equal(network_input(STACK, contract("curia-1", clip=True))[0], found)
    assert contract("curia-1", clip=True).name == name


def test_what_int16_does_not_hold_is_divided_by_a_slope_that_is_named():
    """A cast would wrap it; the z-score takes the slope out, so that a scan's unit does not matter."""
    wide = STACK.copy()
    wide[0, 0, 0] = 1e6  # so high that the slope coarsens the others
    found, name = network_input(wide, contract("curia-1"))
    scaled = np.trunc(wide / 31).astype(np.int16).astype(np.float32) / 32767
    np.testing.assert_allclose(found.numpy(), zscored(np.stack([resized(s, 24) for s in scaled])), atol=2e-5)
    assert name == "curia-1, 24 px, divided by 31"
    assert network_input(wide, contract("curia-2"))[1] == "curia-2, 24 px"
    thrice = network_input(np.round(STACK) * np.float32(64), contract("curia-1"))[0]  # to 3 times int16's highest
    np.testing.assert_allclose(thrice, network_input(np.round(STACK), contract("curia-1"))[0], atol=1e-3)
    for low, high, expected in ((0, 32767, 1), (0, 32768, 2), (-32768, 0, 1), (-32769, 0, 2), (0, 98301, 3)):
        assert int16_slope(np.array([low, high], np.float32), contract("curia-1")) == expected


def test_versions_and_the_clip_matter_where_they_should():
    two = network_input(STACK, contract("curia-2"))[0]
    assert not torch.allclose(two, network_input(STACK, contract("curia-2", clip=True))[0], atol=1e-2)
    assert not torch.allclose(two, network_input(STACK, contract("curia-1"))[0], atol=1e-2)


def test_a_slice_is_a_stack_of_one_and_of_curia_2_a_stack_is_its_slices():
    for version in ("curia-1", "curia-2"):
        one = network_input(STACK[1], contract(version))[0]
        assert one.shape == (24, 24)
        assert torch.equal(one, network_input(STACK[1:2], contract(version))[0][0])
    two = contract("curia-2")
    assert torch.equal(network_input(STACK, two)[0][1], network_input(STACK[1], two)[0])
    one = contract("curia-1")
    assert not torch.allclose(network_input(STACK, one)[0][1], network_input(STACK[1], one)[0])


def test_any_number_type_memory_order_and_size_that_fits_already():
    whole = np.round(STACK).astype(np.int16)
    two = contract("curia-2")
    expected = network_input(whole.astype(np.float64), two)[0]
    for image in (whole, torch.from_numpy(whole), whole.astype(np.float32), np.flip(np.flip(whole, 1), 1)):
        assert torch.equal(network_input(image, two)[0], expected)
    same = STACK[:, :40, :40]
    found = network_input(same, contract("curia-2", 40))[0]
    np.testing.assert_allclose(found.numpy(), np.stack([zscored(s.astype(float)) for s in same]), atol=1e-5)


@pytest.mark.parametrize("version", ["curia-1", "curia-2"])
def test_blank_slices_are_zero_not_blown_up_rounding(version):
    assert not network_input(np.full((2, 33, 31), 1234.5, np.float32), contract(version))[0].any()
    mixed = np.stack([np.full((40, 50), -1000, np.float32), STACK[0]])
    found = network_input(mixed, contract(version))[0]
    assert found.isfinite().all()
    assert bool(found[0].any()) == (version == "curia-1")  # of a volume it is a part like others


@pytest.mark.parametrize(
    ("image", "version", "code"),
    [
        (np.where(STACK > 900, np.nan, STACK), "curia-2", "not-finite"),
        (np.where(STACK > 900, np.inf, STACK), "curia-1", "not-finite"),
        (STACK[None], "curia-2", "shape"),
        (STACK[0, 0], "curia-2", "shape"),
        (STACK[:0], "curia-2", "shape"),
    ],
)
def test_what_is_no_image_is_refused(image, version, code):
    with pytest.raises(CairnError) as refused:
        network_input(image, contract(version))
    assert refused.value.code == code
    assert refused.value.remedy
