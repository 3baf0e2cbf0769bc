"""Guards registration: a known warp is found, features that say nothing move nothing, Dice is that of the labels."""

import numpy as np
import pytest
import torch
from made_items import made_features
from torch.nn import functional

from cairn.bench.beside import write_label_maps
from cairn.bench.features import Embedded, Features, write_features
from cairn.bench.fit import fit_head
from cairn.bench.predict import predict_head
from cairn.bench.registration import (
    feature_grid,
    fit_basis,
    register,
    registration_dice,
    warp,
    warped_dice,
    write_field,
)  # fmt: skip
from cairn.config.bench import BenchTask, FrozenConfig, HeadJob, ItemForm, RegistrationConfig
from cairn.errors import CairnError
from cairn.io.tables import PREDICTION_COLUMNS, read_table, write_table

CONFIG = RegistrationConfig(grid=(16, 16, 16), components=6)
SIDE = 32


def world(seed):
    """A volume with six channels of smooth texture, and a label map of two structures in it."""
    rng = torch.Generator().manual_seed(seed)
    noise = torch.randn(1, 6, 9, 9, 9, generator=rng)
    texture = functional.interpolate(noise, (SIDE,) * 3, mode="trilinear", align_corners=False)[0]
    at = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, SIDE)] * 3, indexing="ij"))
    labels = torch.zeros(SIDE, SIDE, SIDE)
    labels[((at - 0.35) ** 2).sum(0) < 0.09] = 1
    labels[((at + 0.35) ** 2).sum(0) < 0.09] = 2
    return texture, labels


def known_field(seed, size):
    """A smooth warp of up to a quarter of the half width."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 3, 3, 3, generator=rng) * 0.5 - 0.25
    return functional.interpolate(coarse, (SIDE,) * 3, mode="trilinear", align_corners=True)[0] * size


def case(seed, size=1.0):
    """Moving features and labels, and the fixed ones that a known warp makes of them."""
    texture, labels = world(seed)
    field = known_field(seed + 50, size)
    fixed_labels = warp(labels[None], field, mode="nearest")[0]
    return (texture, labels), (warp(texture, field), fixed_labels)


def grid_of(texture, head):
    patches = functional.avg_pool3d(texture[None], 2)[0].movedim(0, -1).numpy()
    return feature_grid(patches, head, CONFIG.grid)


HEAD = {"mean": np.zeros(6, np.float32), "basis": np.eye(6, dtype=np.float32)}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_known_warp_is_recovered(seed):
    (moving, labels), (fixed, wanted) = case(seed)
    nothing = np.zeros((3, 1, 1, 1), np.float32)
    before = np.mean(warped_dice(labels.numpy(), wanted.numpy(), nothing, 2))
    field = register(grid_of(moving, HEAD), grid_of(fixed, HEAD), CONFIG)
    after = np.mean(warped_dice(labels.numpy(), wanted.numpy(), field.numpy(), 2))
    assert before < 0.85
    assert after > before + 0.5 * (1 - before)


def test_features_that_say_nothing_or_are_equal_move_nothing():
    (moving, _), _ = case(0)
    same = grid_of(moving, HEAD)
    assert float(register(same, same, CONFIG).abs().max()) < 1e-6
    blank = feature_grid(np.ones((16, 16, 16, 6), np.float32), HEAD, CONFIG.grid)
    assert float(register(blank, blank, CONFIG).abs().max()) == 0
    noise = torch.randn(6, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    other = torch.randn(6, 16, 16, 16, generator=torch.Generator().manual_seed(1))
    _, labels = world(0)
    dice = np.mean(warped_dice(labels.numpy(), labels.numpy(), register(noise, other, CONFIG).numpy(), 2))
    assert dice < 1  # noise moves labels that were in place: it gains nothing


def test_a_shift_has_the_stated_direction_and_unit():
    """A field of +0.5 along columns takes its values a quarter of the width further on."""
    line = torch.zeros(1, 1, 1, 8)
    line[..., 5] = 1
    field = torch.zeros(3, 1, 1, 8)
    field[2] = 0.5
    assert warp(line, field).flatten().argmax() == 3


def test_dice_of_files_and_what_is_wrong_with_them(tmp_path):
    (_, labels), (_, wanted) = case(0)
    write_label_maps(tmp_path / "labels.safetensors", labels.numpy(), wanted.numpy(), 3)
    before = registration_dice(tmp_path / "labels.safetensors")
    assert before[2] == 1.0  # a structure that neither has
    write_field(tmp_path / "f.safetensors", known_field(50, 1.0))
    assert min(registration_dice(tmp_path / "labels.safetensors", tmp_path / "f.safetensors")) > 0.95
    write_field(tmp_path / "f.safetensors", torch.full((3, 2, 2, 2), float("nan")))
    with pytest.raises(CairnError, match="NaN"):
        registration_dice(tmp_path / "labels.safetensors", tmp_path / "f.safetensors")
    write_field(tmp_path / "f.safetensors", torch.zeros(2, 2, 2, 2))
    with pytest.raises(CairnError, match="shape"):
        registration_dice(tmp_path / "labels.safetensors", tmp_path / "f.safetensors")


def test_through_features_heads_and_tables(tmp_path):
    (moving, labels), (fixed, wanted) = case(3)
    patches = {"m/1": moving, "f/1": fixed}
    found = [
        Embedded(k, np.zeros((16, 6), np.float32), functional.avg_pool3d(t[None], 2)[0].movedim(0, -1).numpy(), None)
        for k, t in patches.items()
    ]
    write_features(tmp_path / "f.safetensors", {"form": found}, {"run": "texture"})
    features = Features(tmp_path / "f.safetensors", "form")
    form = ItemForm(kind="volume", sequence="T1w", pairs=1, mask="m", structures=("a", "b"))
    frozen = FrozenConfig(items=form, input="pair", registration=CONFIG)
    job = HeadJob(run="r", task=BenchTask(name="warp", kind="registration", classes=("a", "b"), frozen=frozen))
    facts = fit_head(job, features, tmp_path / "none.tsv", tmp_path / "h.safetensors")
    assert facts["components"] == 6
    assert facts["variance"] == pytest.approx(1)
    pair = {"subject": "f", "session": "1-from-m-1", "moving": "m/1", "fixed": "f/1"}
    write_table(tmp_path / "pairs.tsv", [pair], tuple(pair))
    predictions = tmp_path / "p" / "predictions.tsv"
    predict_head(job, features, tmp_path / "h.safetensors", predictions, tmp_path / "pairs.tsv")
    (row,) = read_table(predictions, PREDICTION_COLUMNS)
    write_label_maps(tmp_path / "labels.safetensors", labels.numpy(), wanted.numpy(), 2)
    before = np.mean(registration_dice(tmp_path / "labels.safetensors"))
    after = np.mean(registration_dice(tmp_path / "labels.safetensors", predictions.parent / row["mask"]))
    assert after > before + 0.5 * (1 - before)
    with pytest.raises(CairnError, match="no table of pairs"):
        predict_head(job, features, tmp_path / "h.safetensors", predictions)


def test_the_basis_is_that_of_a_plain_decomposition(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 5)) * [3, 1, 2, 0.1, 0.1]
    head, _ = fit_basis(made_features(tmp_path / "f.safetensors", x), RegistrationConfig(components=2))
    stored = np.repeat(x.astype(np.float16).astype(float), 4, axis=0)
    _, _, rows = np.linalg.svd(stored - stored.mean(axis=0))
    np.testing.assert_allclose(np.abs(head["basis"].T @ rows[:2].T), np.eye(2), atol=1e-5)
