"""Guards joint-embedding prediction: its loss against a plain reference, what is seen, the predictor's places."""

import copy
import warnings

import numpy as np
import pytest
import torch
from latents import batch_of, doubled, section
from learning import NETWORK
from made import make_set

from cairn.config.base import parse
from cairn.config.latents import JepaConfig
from cairn.config.networks import ResidualConfig
from cairn.errors import CairnError
from cairn.io.sessions import open_sessions
from cairn.ssl.jepa import normalised, sine_places
from cairn.ssl.registry import build_objective

NET = ResidualConfig(**NETWORK)


def config(**changes):
    return parse(JepaConfig, section("jepa", **changes))


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    made = make_set(tmp_path_factory.mktemp("j"), "classification", 3, shape=(28, 26, 24))
    return open_sessions([made.index])


@pytest.fixture(scope="module")
def objective():
    return build_objective(config(patch_voxels=[24, 24, 16]), NET, 0).eval()


def test_loss_is_the_plain_reference(sessions, objective):
    objective, batch = doubled(copy.deepcopy(objective), batch_of(objective, sessions))
    seen = np.kron(batch["context"].numpy(), np.ones((8, 8, 8))) > 0
    with torch.no_grad():
        found = float(objective(batch))
        whole = objective.teacher_encoder(batch["view"][:, None])[-1].double().numpy()
        deep = objective.encoder(batch["view"].masked_fill(torch.from_numpy(~seen), 0)[:, None])[-1]
        guess = objective.predictor(deep, batch["context"], batch["target"]).double().numpy()
    errors = []
    for n, *place in np.argwhere(batch["target"].numpy()):
        aim = whole[(n, slice(None), *place)]
        aim = (aim - aim.mean()) / np.sqrt(aim.var() + 1e-5)
        gap = np.abs(guess[(n, *place)] - aim)
        errors += np.where(gap < 1, 0.5 * gap**2, gap - 0.5).tolist()
    assert abs(found - np.mean(errors)) < 1e-6


def test_features_are_normalised_over_channels():
    x = torch.randn(2, 6, 3, 2, 4).double() * 5 + 3
    out = normalised(x)
    assert out.shape == (2, 3, 2, 4, 6)
    for place in np.ndindex(2, 3, 2, 4):
        plain = x.numpy()[(place[0], slice(None), *place[1:])]
        np.testing.assert_allclose(out[place], (plain - plain.mean()) / np.sqrt(plain.var() + 1e-5), atol=1e-6)
    assert normalised(torch.ones(1, 4, 2, 2, 2)).abs().max() == 0  # all alike: nothing to divide by


def test_targets_do_not_reach_the_prediction(sessions, objective):
    """Whatever the view holds outside the context, the guess is the same; the aim is not."""
    batch = batch_of(objective, sessions)
    context = torch.from_numpy(np.kron(batch["context"].numpy(), np.ones((8, 8, 8))) > 0)
    guesses = []
    hook = objective.predictor.register_forward_hook(lambda m, i, o: guesses.append(o[batch["target"]]))
    with torch.no_grad():
        first = objective(batch)
        second = objective({**batch, "view": torch.where(context, batch["view"], batch["view"] + 1)})
    hook.remove()
    assert torch.equal(*guesses)
    assert first != second


def test_what_is_neither_context_nor_target_is_not_read(objective):
    torch.manual_seed(0)
    x = torch.randn(2, 12, 3, 3, 2)
    context, target = torch.zeros(2, 2, 3, 3, 2, dtype=torch.bool)
    context[:, :2], target[:, 2, :2] = True, True
    with torch.no_grad():
        out = objective.predictor(x, context, target)[target]
        elsewhere = torch.where(context[:, None], x, x + 5)
        assert torch.equal(objective.predictor(elsewhere, context, target)[target], out)
        assert not torch.allclose(objective.predictor(x + 5, context, target)[target], out)
        other = target.roll(1, dims=2)
        assert not torch.allclose(objective.predictor(x, context, other)[other], out)  # it knows where


def test_training_and_evaluation_predict_alike(sessions, objective):
    """PyTorch's transformer has a path of its own for evaluation."""
    batch = batch_of(objective, sessions)
    with torch.no_grad():
        quick = objective(batch)
    slow = objective.train()(batch)
    objective.eval()
    assert torch.allclose(quick, slow, atol=1e-5)


def test_places_are_monais():
    from monai.networks.blocks.pos_embed_utils import build_sincos_position_embedding

    with warnings.catch_warnings(action="ignore"):
        theirs = build_sincos_position_embedding([3, 2, 4], 24)[0].detach()
    ours = sine_places((3, 2, 4), 24)
    assert torch.allclose(torch.sort(ours, dim=1).values, torch.sort(theirs, dim=1).values, atol=1e-6)
    assert len(torch.unique(ours, dim=0)) == 24


def test_what_cannot_run_is_refused():
    for changes, words in (
        ({"patch_voxels": [20, 16, 16]}, "does not divide by the stride"),
        ({"patch_voxels": [8, 16, 16]}, "fewer than 2 deepest voxels"),
        ({"predictor_heads": 5}, "predictor_heads, 5.*multiple of 30"),
    ):
        with pytest.raises(CairnError, match=words):
            config(**changes).check(NET)
