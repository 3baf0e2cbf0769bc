"""Guards self-distillation: the whole loss put together by hand, centres, temperatures, crops, and no collapse."""

import math

import numpy as np
import pytest
import torch
from assigned import differing, plain_koleo, plain_targets
from latents import batch_of, doubled, problem, section, trained
from learning import NETWORK
from made import make_set
from torch.nn import functional

from cairn.config.base import parse
from cairn.config.latents import DinoConfig
from cairn.config.networks import ResidualConfig
from cairn.errors import CairnError
from cairn.io.sessions import open_sessions
from cairn.nets.blocks import pooled
from cairn.ssl.draws import generator
from cairn.ssl.registry import build_objective

NET = ResidualConfig(**NETWORK)
BOTH = pytest.mark.parametrize("targets", ["centring", "sinkhorn"])


def config(**changes):
    return parse(DinoConfig, section("dino", **changes))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_set(tmp_path_factory.mktemp("d"), "classification", 8, shape=(24, 26, 24))


@pytest.fixture(scope="module")
def sessions(made):
    return open_sessions([made.index])[:3]


@BOTH
def test_loss_is_put_together_as_published(sessions, targets):
    objective = differing(build_objective(config(targets=targets), NET, 0)).train()
    objective.after_update(0)  # the teacher moves a little; no matter
    objective.updates.fill_(25)
    objective, batch = doubled(objective, batch_of(objective, sessions))
    centres = objective.crop_targets.centre.clone(), objective.place_targets.centre.clone()
    with torch.no_grad():
        found = float(objective(batch))
        wide, hidden, local = batch["global"], batch["hidden"], batch["local"]
        masked = wide.masked_fill(torch.from_numpy(np.kron(hidden.numpy(), np.ones((8, 8, 8))) > 0), 0)
        temperature = 0.04 + 0.03 * 25 / 50
        t_deep = [objective.teacher_encoder(wide[:, i, None])[-1] for i in (0, 1)]
        s_deep = [objective.encoder(masked[:, i, None])[-1] for i in (0, 1)]
        l_deep = [objective.encoder(local[:, i, None])[-1] for i in (0, 1)]
        t_logits = torch.cat([objective.teacher_crop_head(pooled(d)) for d in t_deep])
        t = plain_targets(t_logits, centres[0], temperature, targets).chunk(2)
        s = [functional.log_softmax(objective.crop_head(pooled(d)) / 0.1, dim=1) for d in (*s_deep, *l_deep)]
        dino = np.mean([float(-(t[i] * s[v]).sum(1).mean()) for i in (0, 1) for v in range(4) if v != i])
        at = [[(i, n, *p) for p in np.argwhere(hidden[n, i].numpy())] for i in (0, 1) for n in range(3)]
        t_place = torch.stack([t_deep[i][(n, slice(None), *p)] for crop in at for i, n, *p in crop])
        s_place = torch.stack([s_deep[i][(n, slice(None), *p)] for crop in at for i, n, *p in crop])
        aim = plain_targets(objective.teacher_place_head(t_place), centres[1], temperature, targets)
        each = -(aim * functional.log_softmax(objective.place_head(s_place) / 0.1, dim=1)).sum(1)
        ibot = np.mean([float(e.mean()) for e in each.split([len(crop) for crop in at])])
        spread = sum(plain_koleo(pooled(d)) for d in s_deep)
    assert abs(found - (dino + ibot + 0.1 * spread)) < 1e-6


def test_centres_follow_in_training_alone(sessions):
    objective = build_objective(config(), NET, 0)
    batch = batch_of(objective, sessions)
    wide = torch.cat([batch["global"][:, 0], batch["global"][:, 1]])[:, None]
    logits = objective.teacher_crop_head(pooled(objective.teacher_encoder(wide)[-1]))
    objective.eval()(batch)
    assert (objective.crop_targets.centre == 0).all()
    expected = torch.zeros(32)
    for _ in range(3):
        objective.train()(batch)
        expected = 0.9 * expected + 0.1 * logits.mean(dim=0)
        assert torch.allclose(objective.crop_targets.centre, expected, atol=1e-6)
    assert (objective.place_targets.centre != 0).any()
    assert {"crop_targets.centre", "place_targets.centre", "updates"} <= set(objective.state_dict())


def test_in_a_validation_sinkhorn_leaves_it_to_the_centre(sessions):
    batch = batch_of(build_objective(config(), NET, 0), sessions)
    losses = [
        float(build_objective(config(targets=t), NET, 0).eval()(batch).detach()) for t in ("centring", "sinkhorn")
    ]
    assert losses[0] == losses[1]


def test_the_teachers_temperature_counts_steps(sessions):
    objective = build_objective(config(), NET, 0).eval()
    logits = torch.randn(4, 32)
    for step, temperature in ((0, 0.04), (10, 0.046), (50, 0.07), (5000, 0.07)):
        objective.after_update(step)
        expected = torch.softmax(logits / temperature, dim=1)
        assert torch.allclose(objective.crop_targets(logits, int(objective.updates)), expected, atol=1e-5)


def test_crops_have_their_sizes_and_hide_their_share(sessions):
    changed = config(patch_voxels=[24, 16, 16], local_voxels=[16, 16, 16], local_crops=3, mask_ratio=[0.25, 0.75])
    objective = build_objective(changed, NET, 0)
    counts = set()
    for i in range(30):
        views = objective.views(sessions[0], generator(0, "v", i))
        assert views["global"].shape == (2, 24, 16, 16)
        assert views["local"].shape == (3, 16, 16, 16)
        assert views["hidden"].shape == (2, 3, 2, 2)
        counts |= set(views["hidden"].flatten(1).sum(dim=1).tolist())
    assert counts == set(range(3, 10))  # of 12
    rare = build_objective(config(mask_ratio=[0.001, 0.001]), NET, 0).views(sessions[0], generator(0, "v"))
    assert rare["hidden"].flatten(1).sum(dim=1).tolist() == [1, 1]


def test_the_student_does_not_see_what_is_hidden_and_the_teacher_does(sessions):
    objective = build_objective(config(), NET, 0).eval()
    batch = batch_of(objective, sessions)
    seen = {}
    for name, net in (("student", objective.encoder), ("teacher", objective.teacher_encoder.network)):
        net.register_forward_pre_hook(lambda module, inputs, name=name: seen.setdefault(name, []).append(inputs[0]))
    objective(batch)
    wide = torch.cat([batch["global"][:, 0], batch["global"][:, 1]])[:, None]
    (teacher,), (student, local) = seen["teacher"], seen["student"]
    assert torch.equal(teacher, wide)
    assert len(local) == 6
    differs = (student != wide).unflatten(2, (2, 8)).unflatten(4, (2, 8)).unflatten(6, (2, 8))
    hidden = torch.cat([batch["hidden"][:, 0], batch["hidden"][:, 1]])
    assert torch.equal(differs.any(dim=(1, 3, 5, 7)), hidden)
    assert (student[student != wide] == 0).all()


@BOTH
def test_it_does_not_collapse(made, tmp_path, targets):
    """The loss itself may rise, as the targets get harder; what must not happen is that all samples become alike."""
    of = problem(made.index, section("dino", targets=targets))
    (_, before), (after, spread) = trained(of, tmp_path)
    assert spread > 0.5 * before
    assert after < 2 * math.log(32)  # better than knowing nothing, in both cross-entropies together
    with torch.no_grad():
        batch = batch_of(of.module, open_sessions([made.index]))
        logits = of.module.teacher_crop_head(pooled(of.module.teacher_encoder(batch["global"][:, :1])[-1]))
        mean = of.module.crop_targets(logits, int(of.module.updates)).mean(dim=0)
    assert float(torch.exp(-(mean * mean.clamp_min(1e-9).log()).sum())) > 3  # prototypes in use


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"local_voxels": [12, 16, 16]}, "local_voxels .* does not divide by the stride"),
        ({"local_voxels": [8, 16, 16]}, "local_voxels .* fewer than 2 deepest voxels"),
        ({"local_voxels": [24, 16, 16]}, "exceed patch_voxels"),
        ({"patch_voxels": [8, 16, 16]}, "patch_voxels .* fewer than 2 deepest voxels"),
    ],
)
def test_what_cannot_run_is_refused(changes, words):
    with pytest.raises(CairnError, match=words):
        config(**changes).check(NET)


def test_shares_in_disorder_are_refused():
    with pytest.raises(CairnError, match="smaller first"):
        config(mask_ratio=[0.5, 0.1])
