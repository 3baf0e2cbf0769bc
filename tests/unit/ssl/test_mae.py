"""Guards masked autoencoding: share and shape of what is hidden, what the target is, and the loss."""

import numpy as np
import pytest
import torch
from made import make_set

from cairn.config.networks import ResidualConfig
from cairn.config.objectives import MaeConfig
from cairn.errors import CairnError
from cairn.io.sessions import open_sessions
from cairn.ssl.draws import generator
from cairn.ssl.mae import random_mask, random_origin
from cairn.ssl.registry import build_objective

NETWORK = ResidualConfig(channels=(4, 6, 8), blocks=(0, 1, 1))
CONFIG = MaeConfig(patch_voxels=(16, 16, 16))


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    return open_sessions([make_set(tmp_path_factory.mktemp("mae"), "classification", 3).index])


def test_the_configured_share_of_whole_cubes_is_hidden():
    mask = random_mask((16, 8, 12), 4, 0.6, generator(0, "m"))
    cubes = mask.view(4, 4, 2, 4, 3, 4).permute(0, 2, 4, 1, 3, 5).reshape(24, 64).sum(1)
    assert sorted(cubes.unique().tolist()) == [0, 64]
    assert (cubes == 64).sum() == round(0.6 * 24)
    assert not torch.equal(mask, random_mask((16, 8, 12), 4, 0.6, generator(1, "m")))


def test_view_hides_and_changes_while_the_target_is_whole_and_plain(sessions):
    views = build_objective(CONFIG, NETWORK, 0).views(sessions[0], generator(0, "v", 3))
    assert (views["view"][views["hidden"]] == 0).all()
    assert (views["target"][views["hidden"]] != 0).any()
    plain = CONFIG.model_copy(update={"spatial": CONFIG.spatial.model_copy(update={"flip": 0.0, "affine": 0.0})})
    same = build_objective(plain, NETWORK, 0).views(sessions[0], generator(0, "v", 3))
    volumes = {s: sessions[0].volume(s) for s in sessions[0].sequences}
    seen = {float(v) for volume in volumes.values() for v in volume.ravel()}
    assert {float(v) for v in same["target"].ravel()} <= seen  # no intensity change reached the target


def test_loss_is_the_plain_reference(sessions):
    batch = {k: v[None] for k, v in build_objective(CONFIG, NETWORK, 0).views(sessions[0], generator(0, "v")).items()}
    for loss_on in ("patch", "masked"):
        objective = build_objective(CONFIG.model_copy(update={"loss_on": loss_on}), NETWORK, 0).double()
        wide = {k: v.double() if v.is_floating_point() else v for k, v in batch.items()}
        image = objective.decoder(objective.encoder(wide["view"][:, None])[-1])[:, 0].float().double().detach().numpy()
        squared = (image - wide["target"].numpy()) ** 2
        expected = squared.mean() if loss_on == "patch" else squared[wide["hidden"].numpy()].mean()
        assert abs(float(objective(wide).detach()) - expected) < 1e-6


PLAIN = MaeConfig(
    patch_voxels=(16, 16, 16), mask_ratio=0.75, mask_unit_voxels=8, loss_on="masked",
    intensity=dict.fromkeys(("noise", "blur", "bias", "gamma", "contrast", "low_resolution", "gibbs", "ghosting"), 0.0),
)  # fmt: skip


def test_plain_masked_autoencoding_is_configuration(sessions):
    """A high ratio, no intensity to undo, and an error at hidden voxels alone."""
    objective = build_objective(PLAIN, NETWORK, 0)
    views = objective.views(sessions[0], generator(0, "v", 3))
    assert torch.equal(views["view"], views["target"].masked_fill(views["hidden"], 0.0))
    assert views["hidden"].float().mean() == 0.75
    batch = {k: v[None] for k, v in views.items()}
    seen_error = {**batch, "target": batch["target"] + 9 * ~batch["hidden"]}
    hidden_error = {**batch, "target": batch["target"] + 9 * batch["hidden"]}
    with torch.no_grad():
        assert objective(seen_error) == objective(batch) < objective(hidden_error)


def test_nothing_of_what_is_hidden_leaks_into_the_view(sessions):
    """Two scans that differ in hidden voxels alone give one view; a patch-wise encoder's hidden patches are all 0."""
    still = PLAIN.model_copy(update={"spatial": PLAIN.spatial.model_copy(update={"flip": 0.0, "affine": 0.0})})
    objective = build_objective(still, NETWORK, 0)
    first = objective.views(sessions[0], generator(0, "v", 3))

    class Changed:
        sequences, geometry = sessions[0].sequences, sessions[0].geometry

        def patch(self, *where):
            return sessions[0].patch(*where) + 7 * first["hidden"].float().numpy()

    second = objective.views(Changed(), generator(0, "v", 3))
    assert torch.equal(first["view"], second["view"])
    assert not torch.equal(first["target"], second["target"])
    patches = second["view"].unflatten(0, (2, 8)).unflatten(2, (2, 8)).unflatten(4, (2, 8))
    assert (patches != 0).any(dim=5).any(dim=3).any(dim=1).sum() <= 2  # of 8, six are hidden


def test_the_decoder_sees_the_deepest_features_alone():
    """A skip would let the net copy what it should understand."""
    objective = build_objective(CONFIG, NETWORK, 0)
    assert objective.decoder(torch.zeros(1, 8, 2, 2, 2)).shape == (1, 1, 16, 16, 16)


def test_origins_cover_the_grid_and_centre_in_a_small_one():
    found = {tuple(random_origin((20, 16, 10), (16, 16, 16), generator(0, "o", i))) for i in range(60)}
    assert {o[0] for o in found} == {0, 1, 2, 3, 4}
    assert {o[1:] for o in found} == {(0, -3)}


def test_a_view_that_does_not_divide_is_refused():
    with pytest.raises(CairnError, match="patch_voxels"):
        build_objective(MaeConfig(patch_voxels=(20, 16, 16)), NETWORK, 0)


def test_views_are_of_the_draw_alone(sessions):
    objective = build_objective(CONFIG, NETWORK, 0)
    a = objective.views(sessions[1], generator(0, "v", 1, 2))
    np.random.default_rng().random()
    torch.rand(3)
    b = objective.views(sessions[1], generator(0, "v", 1, 2))
    assert all(torch.equal(a[k], b[k]) for k in a)
