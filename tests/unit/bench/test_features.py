"""Guards features: masks meet patches as released, ragged stacks come back, and one file serves every head."""

import numpy as np
import pytest
import torch

from cairn.bench.embed import embed_items
from cairn.bench.features import Embedded, Features, coverage_of, embed, write_features
from cairn.bench.inputs import head_inputs, masked_mean, slice_embedding, window
from cairn.bench.items import Item, write_items
from cairn.config.bench import EmbedJob, FrozenConfig, ItemForm
from cairn.errors import CairnError
from cairn.io.atomic import atomic_path

FLAT = ItemForm(kind="lesion", sequence="CT", mask="m")
DEEP = ItemForm(kind="volume", sequence="CT")
CPU = torch.device("cpu")


def frozen(**more):
    return FrozenConfig(items=FLAT if more.get("input") in ("slice", "mask") else DEEP, **more)


def fake_tokens(x_SHW):
    """Class token: mean and maximum of the slice; patch tokens: means and maxima of 4 x 4 pixels."""
    cells = x_SHW.unfold(1, 4, 4).unfold(2, 4, 4).flatten(3)
    return torch.stack([x_SHW.mean((1, 2)), x_SHW.amax((1, 2))], 1), torch.stack([cells.mean(-1), cells.amax(-1)], -1)


def items(slices, masked=True):
    rng = np.random.default_rng(1)
    for n, count in enumerate(slices):
        image = rng.normal(size=(count, 8, 12)).astype(np.float32)
        mask = np.zeros(image.shape, bool)
        mask[count // 2, 1:3, 5:7] = True
        yield Item("s", str(n), image, mask if masked else None)


def embedded(path, slices, masked=True):
    found = embed(items(slices, masked), fake_tokens, torch.from_numpy, CPU)
    write_features(path, {"form": found}, {"run": "fake"})
    return Features(path, "form")


def test_coverage_is_the_released_rule():
    mask = np.zeros((1, 8, 8), bool)
    mask[0, 0:4, 0:2] = True
    np.testing.assert_array_equal(coverage_of(mask, (16, 16), (4, 4))[0], np.pad([[1], [1]], ((0, 2), (0, 3))))
    speck = np.zeros((1, 64, 64), bool)
    speck[0, 33, 50] = True  # 1 pixel of 64 falls to less than one half at 16, and its place must still be found
    found = coverage_of(speck, (15, 15), (5, 5))
    assert 1 <= found.sum() <= 2  # it lies by the border of two patches
    assert found[0, 2, 3] == 1


def test_ragged_stacks_come_back_item_by_item(tmp_path):
    features = embedded(tmp_path / "f.safetensors", [3, 1, 5])
    for item in items([3, 1, 5]):
        found = features.item(item.key)
        classes, patches = fake_tokens(torch.from_numpy(item.image))
        np.testing.assert_allclose(found.tokens, classes, rtol=1e-3)
        np.testing.assert_allclose(found.patches, patches, rtol=1e-3)
        np.testing.assert_array_equal(found.coverage.any(axis=(1, 2)), item.mask.any(axis=(1, 2)))
    assert (features.slices, features.shape, features.facts) == ([3, 1, 5], (2, 3, 2), {"run": "fake"})
    again = tmp_path / "g.safetensors"
    embedded(again, [3, 1, 5])
    assert again.read_bytes() == (tmp_path / "f.safetensors").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.safetensors", "g.safetensors"]


def test_forms_lie_side_by_side_each_with_its_own_shape(tmp_path):
    """Masked slices beside volumes without a mask; a form that is not there is named."""
    given = {"flat": items([1, 1], True), "deep": items([4], False)}
    sets = {name: embed(found, fake_tokens, torch.from_numpy, CPU) for name, found in given.items()}
    facts = write_features(tmp_path / "f.safetensors", sets, {"run": "fake"})
    assert {name: (f["items"], f["slices"], f["masks"]) for name, f in facts.items()} == {
        "flat": (2, 2, True), "deep": (1, 4, False),
    }  # fmt: skip
    flat, deep = (Features(tmp_path / "f.safetensors", name) for name in ("flat", "deep"))
    assert (flat.keys, deep.keys) == (["s/0", "s/1"], ["s/0"])
    assert flat.coverage("s/0") is not None
    assert deep.coverage("s/0") is None
    assert [len(found.read("patches", "s/0")) for found in (flat, deep)] == [1, 4]
    with pytest.raises(CairnError, match=r"no items 'other'.*deep, flat"):
        Features(tmp_path / "f.safetensors", "other")


def test_features_that_are_not_finite_or_of_two_shapes_are_refused(tmp_path):
    with pytest.raises(CairnError, match="not finite"):
        list(embed(items([1]), lambda x: tuple(t * np.nan for t in fake_tokens(x)), torch.from_numpy, CPU))
    mixed = [
        Embedded("a/1", np.ones((1, 2), np.float32), np.ones((1, 2, 2, 2), np.float32), None),
        Embedded("b/1", np.ones((1, 2), np.float32), np.ones((1, 3, 3, 2), np.float32), None),
    ]
    with pytest.raises(CairnError, match="2 shapes"):
        write_features(tmp_path / "f.safetensors", {"form": mixed}, {})
    (tmp_path / "x").write_bytes((2).to_bytes(8, "little") + b"{}")
    with pytest.raises(CairnError, match="no file of features"):
        Features(tmp_path / "x", "form")


def test_what_heads_read(tmp_path):
    features = embedded(tmp_path / "f.safetensors", [5, 5])
    key = features.keys[0]
    item = features.item(key)
    np.testing.assert_allclose(masked_mean(item), item.patches[2, 0, 1], rtol=1e-5)
    mean = head_inputs(features, [key], frozen(input="volume", head="mean"))
    np.testing.assert_allclose(mean[0], item.tokens.mean(axis=0), rtol=1e-5)
    bag = head_inputs(features, [key], frozen(input="window", head="attention", window_slices=3))
    assert bag.shape == (1, 3 * 6, 2)
    places = slice_embedding(3, 2)
    np.testing.assert_allclose(bag[0, 6:12], item.patches[2].reshape(6, 2) + places[1], rtol=1e-5)
    few = head_inputs(features, [key], frozen(input="window", head="mean", window_slices=1))
    np.testing.assert_allclose(few[0], item.tokens[2], rtol=1e-5)
    with pytest.raises(CairnError, match="has no item"):
        features.item("nobody/1")
    bare = embedded(tmp_path / "g.safetensors", [1], masked=False)
    with pytest.raises(CairnError, match="has no mask"):
        head_inputs(bare, bare.keys, frozen(input="mask", head="linear"))
    ragged = embedded(tmp_path / "h.safetensors", [3, 4])
    with pytest.raises(CairnError, match="bags of 18 to 24"):
        head_inputs(ragged, ragged.keys, frozen(input="volume", head="attention"))


def test_the_window_lies_around_the_mask_and_stays_in_the_volume():
    nothing = np.zeros((9, 2, 2), bool)
    mask = nothing.copy()
    mask[6] = True
    assert window(9, mask, 3).tolist() == [5, 6, 7]
    assert window(9, None, 3).tolist() == window(9, nothing, 3).tolist() == [3, 4, 5]
    mask[:] = False
    mask[8] = True
    assert window(9, mask, 3).tolist() == [7, 8, 8]
    assert window(2, None, 3).tolist() == [0, 1, 1]


def test_items_share_calls_and_keep_their_features():
    calls = []

    def counted(x_SHW):
        calls.append(len(x_SHW))
        return fake_tokens(x_SHW)

    counts = [1, 1, 3, 9, 2]
    alone = list(embed(items(counts), fake_tokens, torch.from_numpy, CPU))
    shared = list(embed(items(counts), counted, torch.from_numpy, CPU, together=5))
    assert calls == [5, 9, 2]
    for a, b in zip(alone, shared, strict=True):
        assert a.key == b.key
        for name in ("tokens", "patches", "coverage"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_files_of_one_folder_are_written_at_the_same_time(tmp_path):
    """Two jobs of a run write beside each other: neither touches what the other, or a card's writer, has begun."""
    one, other = tmp_path / "one.safetensors", tmp_path / "other.safetensors"

    def meanwhile():
        found = list(embed(items([2, 3]), fake_tokens, torch.from_numpy, CPU))
        yield found[0]
        with atomic_path(tmp_path / "one.run.json") as card:
            embedded(other, [1, 4])
            card.write_text("{}")
        yield found[1]

    write_features(one, {"form": meanwhile()}, {"run": "fake"})
    assert Features(one, "form").slices == [2, 3]
    assert Features(other, "form").slices == [1, 4]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.run.json", one.name, other.name]


def test_what_a_killed_process_left_is_no_hindrance(tmp_path):
    path = tmp_path / "f.safetensors"
    (tmp_path / ".scratch-f.safetensors" / "0").mkdir(parents=True)
    (tmp_path / ".scratch-f.safetensors" / "0" / "class").write_bytes(b"half")
    embedded(path, [2])
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_real_encoder_a_volume_network_and_the_pixels_embed_alike(tmp_path):
    """Through the published contract; a random start is that of its seed; 2D and 3D networks give the same grid."""
    write_items(tmp_path / "items.parquet", items([4, 6]))
    networks = {
        "vit": {"kind": "dinov2", "image_size": 32, "hidden_size": 12, "layers": 1, "heads": 2},
        "pixels": {"kind": "pixels", "image_size": 32, "patch_size": 16},
        "cnn": {"kind": "residual", "channels": [4, 6, 8], "blocks": [1, 1, 1], "stem_stride": 1},
    }
    for name, network in networks.items():
        found = {}
        for seed in (0, 1):
            job = EmbedJob(run=name, network=network, contract={"size_px": 32}, seed=seed, device="cpu")
            path = tmp_path / f"{name}{seed}.safetensors"
            facts = embed_items(job, {"form": tmp_path / "items.parquet"}, [], path, 1)["forms"]["form"]
            assert (facts["items"], facts["slices"], facts["patches"], facts["masks"]) == (2, 10, [2, 2], True)
            found[seed] = Features(path, "form").item("s/1")
        same = np.array_equal(found[0].patches, found[1].patches)
        assert same is (name == "pixels")
        assert np.isfinite(found[0].tokens).all()
        assert found[0].coverage.any()


def test_a_scan_beyond_int16_is_embedded_and_the_card_names_its_slope(tmp_path):
    """One such scan among others, in the contract that casts to int16: the job goes on, and says what it did."""
    image = np.random.default_rng(0).normal(300, 40, (2, 16, 16)).astype(np.float32)
    write_items(tmp_path / "items.parquet", [Item("s", "0", image), Item("s", "1", image * 200)])
    job = EmbedJob(
        run="x", network={"kind": "pixels", "image_size": 16, "patch_size": 4},
        contract={"version": "curia-1", "size_px": 16}, device="cpu",
    )  # fmt: skip
    facts = embed_items(job, {"form": tmp_path / "items.parquet"}, [], tmp_path / "f.safetensors", 1)
    assert facts["divided_by"] == {"form: s/1": int(np.ceil(image.max() * 200 / 32767))}
    assert facts["contract"] == "curia-1, 16 px"
    found = Features(tmp_path / "f.safetensors", "form")
    np.testing.assert_allclose(found.item("s/0").patches, found.item("s/1").patches, atol=0.05)


def test_weights_of_another_network_are_refused(tmp_path):
    from cairn.nets.weights import save_weights

    write_items(tmp_path / "items.parquet", items([1]))
    save_weights(tmp_path / "w.safetensors", {"a": torch.zeros(1)}, {"kind": "encoder", "network": {"kind": "vit"}})
    job = EmbedJob(run="x", network={"kind": "pixels", "image_size": 32, "patch_size": 16})
    weights = [tmp_path / "w.safetensors"]
    with pytest.raises(CairnError, match="an encoder of network"):
        embed_items(job, {"form": tmp_path / "items.parquet"}, weights, tmp_path / "f.safetensors", 1)
