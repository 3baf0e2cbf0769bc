"""Guards pretraining on slices: the whole loss put together by hand, stages, what is seen, resumes, collapse."""

import itertools
import json

import numpy as np
import pytest
import torch
from assigned import differing, plain_targets
from latents import batch_of, interrupted, same_views
from learning import run_pretrain
from placed import PLAIN
from radiology import CURIA, CURIA_2, NETWORK_2D, make_heads
from torch.nn import functional

from cairn.config.base import parse
from cairn.config.curia import CuriaConfig
from cairn.config.networks import Dinov2Config, PixelsConfig, ResidualConfig
from cairn.errors import CairnError
from cairn.io.sessions import open_sessions
from cairn.nets.meta import read_meta
from cairn.nets.weights import read_tensors
from cairn.ssl.draws import generator
from cairn.ssl.latents_assign import koleo
from cairn.ssl.registry import build_objective
from cairn.ssl.sigreg import sigreg

NET = Dinov2Config(**{**NETWORK_2D, "drop_path": 0.0})
BOTH = pytest.mark.parametrize("section", [CURIA, CURIA_2], ids=["curia", "curia-2"])


def config(section=CURIA, **changes):
    return parse(CuriaConfig, {**section, **changes})


def built(section=CURIA, **changes):
    return build_objective(config(section, **changes), NET, 0)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return make_heads(tmp_path_factory.mktemp("curia"), 10)


@pytest.fixture(scope="module")
def sessions(index):
    return open_sessions([index])[:3]


@pytest.mark.parametrize(("targets", "shared"), [("centring", False), ("sinkhorn", True)])
def test_loss_is_put_together_as_published(sessions, targets, shared):
    objective = differing(built(targets=targets, shared_head=shared, sigreg_weight=0.3)).train()
    objective.updates.fill_(25)
    batch = batch_of(objective, sessions)
    centres = objective.crop_targets.centre.clone(), objective.place_targets.centre.clone()
    with torch.no_grad():
        found = float(objective(batch))
        wide, hidden, local = batch["global"], batch["hidden"], batch["local"]
        assert 0 < int(hidden.flatten(2).any(dim=2).sum()) < 6  # some crops with, some without
        temperature = 0.04 + 0.03 * 25 / 50
        heads = objective.crop_head, objective.crop_head if shared else objective.place_head
        t_heads = objective.teacher_crop_head, objective.teacher_crop_head if shared else objective.teacher_place_head
        t_class, t_patch = zip(
            *[objective.teacher_encoder.network.tokens(wide[:, i, None]) for i in (0, 1)], strict=True
        )
        s_class, s_patch = zip(*[objective.encoder.tokens(wide[:, i, None], hidden[:, i]) for i in (0, 1)], strict=True)
        l_class = [objective.encoder.tokens(local[:, i, None])[0] for i in (0, 1)]
        t = plain_targets(t_heads[0](torch.cat(t_class)), centres[0], temperature, targets).chunk(2)
        s = [functional.log_softmax(heads[0](x) / 0.1, dim=1) for x in (*s_class, *l_class)]
        dino = np.mean([float(-(t[i] * s[v]).sum(1).mean()) for i in (0, 1) for v in range(4) if v != i])
        at = [[(i, n, *p) for p in np.argwhere(hidden[n, i].numpy())] for i in (0, 1) for n in range(3)]
        places = list(itertools.chain(*at))
        aim = plain_targets(
            t_heads[1](torch.stack([t_patch[i][n, r, c] for i, n, r, c in places])), centres[1], temperature, targets
        )
        logits = heads[1](torch.stack([s_patch[i][n, r, c] for i, n, r, c in places]))
        each = -(aim * functional.log_softmax(logits / 0.1, dim=1)).sum(1)
        ibot = np.mean([float(e.mean()) if len(e) else 0.0 for e in each.split([len(crop) for crop in at])])
        spread = sum(float(koleo(x)) for x in s_class)
        ways = torch.from_numpy(generator(0, "sigreg directions", 25).standard_normal((256, 24), np.float32))
        normal = np.mean([float(sigreg(x, ways, 17)) for x in s_class])
    assert abs(found - (dino + ibot + 0.1 * spread + 0.3 * normal)) < 1e-5
    assert (objective.crop_targets.centre != centres[0]).any()
    assert (objective.place_targets.centre != centres[1]).any()


@BOTH
def test_views_are_of_the_draw_alone_and_alike_in_shape(sessions, section):
    objective = built(section)
    assert same_views(objective, sessions[1])
    batch = batch_of(objective, sessions)
    assert batch["global"].shape == (3, 2, 32, 32)
    assert batch["hidden"].shape == (3, 2, 4, 4)
    assert batch["local"].shape == (3, 2, 16, 16)


def test_stages_change_the_resolution_at_their_step(sessions):
    objective = built(
        CURIA_2, stages=[{"px": 16, "from_step": 0}, {"px": 24, "from_step": 7}, {"px": 48, "from_step": 9}]
    )
    sides = {0: (16, 8), 6: (16, 8), 7: (24, 16), 8: (24, 16), 9: (48, 24), 500: (48, 24)}
    for step, (wide, small) in sides.items():
        views = objective.views_at(sessions[0], generator(0, "v", step), step)
        assert views["global"].shape == (2, wide, wide)
        assert views["hidden"].shape == (2, wide // 8, wide // 8)
        assert views["local"].shape == (2, small, small)
        batch = {k: torch.stack([v, v]) for k, v in views.items()}
        assert objective(batch).isfinite()  # position embeddings are interpolated
    assert objective.views(sessions[0], generator(0, "v"))["global"].shape == (2, 48, 48)
    alone = built()
    for step in (0, 9):
        a, b = (f(sessions[0], generator(0, "v"), *s) for f, s in ((alone.views, ()), (alone.views_at, (step,))))
        assert all(torch.equal(a[k], b[k]) for k in a)


def test_marks_are_flipped_with_their_crop_and_sagittal_slices_are_not(sessions):
    for plane in ("axial", "sagittal"):
        still = {"contract": {"planes": [plane], "size_px": 40}, "intensity": PLAIN.model_dump(), "mask_probability": 1}
        as_it_is, flipped = (built(**still, flip=f).views(sessions[0], generator(0, "f", 1)) for f in (0.0, 1.0))
        for key in ("global", "hidden", "local"):
            expected = as_it_is[key].flip(2) if plane == "axial" else as_it_is[key]
            assert torch.equal(flipped[key], expected)


def test_the_student_does_not_see_what_is_hidden_and_the_teacher_does(sessions):
    objective = differing(built(mask_probability=1.0)).eval()
    batch = batch_of(objective, sessions)
    before = objective(batch)
    changed = batch["global"].clone()
    marks = batch["hidden"].repeat_interleave(8, dim=2).repeat_interleave(8, dim=3)
    changed[marks] += 1
    seen = []
    for x in (batch["global"], changed):
        seen.append(objective.encoder.tokens(x[:, 0, None], batch["hidden"][:, 0]))
        seen.append(objective.teacher_encoder.network.tokens(x[:, 0, None]))
    assert all(torch.equal(a, b) for a, b in zip(seen[0], seen[2], strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(seen[1], seen[3], strict=True))
    assert not torch.equal(before, objective({**batch, "global": changed}))


@BOTH
def test_evaluation_is_repeatable_and_changes_nothing(sessions, section):
    objective = build_objective(config(section), Dinov2Config(**NETWORK_2D), 0).eval()
    batch = batch_of(objective, sessions)
    before = {k: v.clone() for k, v in objective.state_dict().items()}
    first = objective(batch)
    torch.rand(7)
    assert torch.equal(first, objective(batch))
    assert all(torch.equal(v, before[k]) for k, v in objective.state_dict().items())
    embedding = objective.embed(batch)
    assert embedding.shape == (3, 24)
    assert embedding.dtype == torch.float32
    assert torch.equal(embedding, objective.teacher_encoder.network.tokens(batch["global"][:, :1])[0])


@pytest.mark.parametrize("probability", [0.0, 1.0])
@pytest.mark.parametrize("shared", [True, False])
def test_gradient_reaches_all_that_trains_and_no_teacher_also_if_nothing_is_hidden(sessions, shared, probability):
    objective = built(shared_head=shared, mask_probability=probability).train()
    loss = objective(batch_of(objective, sessions))
    loss.backward()
    assert loss.isfinite()
    for name, parameter in objective.named_parameters():
        assert (parameter.grad is not None) == ("teacher" not in name), name
    assert any("place_head" in n for n, _ in objective.named_parameters()) == (not shared)
    assert objective.place_targets.centre.isfinite().all()


def pretrained(folder, index, section=CURIA, **changes):
    folder.mkdir(exist_ok=True)
    small = {"steps": 8, "batch_size": 2, "warmup_steps": 1, "state_every": 2, "log_every": 2, "validate_every": 3}
    run_pretrain(folder, index, network=NETWORK_2D, objective={**section, "teacher": FAST}, **{**small, **changes})
    return read_tensors(folder / "encoder.safetensors")


def test_it_trains_in_bfloat16_and_takes_its_loss_in_float32(sessions):
    """As the loop runs it on a GPU."""
    objective = built(CURIA_2).train()
    batch = batch_of(objective, sessions)
    exact = objective(batch)
    with torch.autocast("cpu", torch.bfloat16):
        loss, embedded = objective(batch), objective.embed(batch)
    loss.backward()
    assert loss.dtype == embedded.dtype == torch.float32
    assert float((loss - exact).detach().abs()) < 0.1
    assert all(p.grad.isfinite().all() for p in objective.parameters() if p.requires_grad)


FAST = {"momentum": 0.5, "momentum_end": 0.9, "ramp_steps": 6}
IN_STAGES = {**CURIA_2, "stages": [{"px": 16, "from_step": 0}, {"px": 32, "from_step": 7}]}


@pytest.mark.parametrize("section", [CURIA, IN_STAGES], ids=["curia", "curia-2"])
def test_an_interrupted_and_a_longer_run_end_with_the_same_bytes(index, tmp_path, monkeypatch, section):
    whole = pretrained(tmp_path / "whole", index, section, steps=12)
    with interrupted(monkeypatch, step=5):
        pretrained(tmp_path / "cut", index, section, steps=7)
    torch.rand(11)
    shorter = pretrained(tmp_path / "cut", index, section, steps=7)  # finished; then made longer
    longer = pretrained(tmp_path / "cut", index, section, steps=12)
    assert all(torch.equal(whole[k], longer[k]) for k in whole | longer)
    assert not all(torch.equal(whole[k], shorter[k]) for k in whole)
    assert (tmp_path / "whole/history.jsonl").read_bytes() == (tmp_path / "cut/history.jsonl").read_bytes()


def test_a_finished_run_leaves_all_that_going_on_needs(index, tmp_path):
    """The teacher's encoder is the result; heads, both teachers, moments are in the last state."""
    encoder = pretrained(tmp_path, index)
    meta = read_meta(tmp_path / "encoder.safetensors")
    assert meta["network"]["kind"] == "dinov2"
    assert meta["objective"]["kind"] == "curia"
    (last,) = tmp_path.glob("state/*/state-*8-of-*8.safetensors")
    state = read_tensors(last)
    parts = {"encoder", "crop_head", "place_head", "teacher_encoder", "teacher_crop_head", "teacher_place_head"}
    assert parts <= {name.split(".")[1] for name in state if name.startswith("model.")}
    assert all(f"exp_avg.{p}.perceptron.0.weight" in state for p in ("crop_head", "place_head"))
    assert all(torch.equal(v, state[f"model.teacher_encoder.network.{k}"]) for k, v in encoder.items())
    assert any(not torch.equal(v, state[f"model.encoder.{k}"]) for k, v in encoder.items())


def test_a_collapse_stops_the_run_and_says_so(index, tmp_path):
    """No loss but the decay of the weights: in the end every slice has the same token."""
    nothing = {**CURIA, "dino_weight": 0, "ibot_weight": 0, "koleo_weight": 0}
    with pytest.raises(CairnError, match=r"objective curia has collapsed at step \d+.*feature_std") as caught:
        pretrained(tmp_path, index, nothing, steps=40, learning_rate=0.02, weight_decay=30, validate_every=10)
    assert caught.value.code == "collapsed"
    (history,) = tmp_path.glob("state/*/history.jsonl")
    assert json.loads(history.read_text().splitlines()[-1])["feature_std"] < 0.02
    assert not (tmp_path / "encoder.safetensors").exists()


def test_schedules_count_steps(sessions):
    objective = built().eval()
    logits = torch.randn(4, 32)
    for step, temperature in ((0, 0.04), (10, 0.046), (50, 0.07), (5000, 0.07)):
        objective.after_update(step)
        expected = torch.softmax(logits / temperature, dim=1)
        assert torch.allclose(objective.crop_targets(logits, int(objective.updates)), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("network", "changes", "words"),
    [
        (ResidualConfig(), {}, "objective curia is for slices, and network residual"),
        (PixelsConfig(), {}, "network pixels has no mask token"),
        (NET, {"global_px": 36}, "global_px, 36, does not divide by the network's patch, 8"),
        (NET, {"local_px": 12}, "local_px, 12, does not divide"),
        (NET, {"global_px": 8, "local_px": 8}, "global_px, 8, is fewer than 2 patches"),
        (NET, {"stages": [{"px": 20, "from_step": 0}]}, "px from step 0, 20, does not divide"),
    ],
)
def test_what_cannot_run_is_refused(network, changes, words):
    with pytest.raises(CairnError, match=words):
        config(**changes).check(network)


def test_a_batch_of_one_is_refused():
    with pytest.raises(CairnError, match="compares the samples of a batch"):
        config().check_batch(1)


def test_objectives_of_volumes_refuse_networks_of_slices():
    from cairn.config.latents import DinoConfig

    with pytest.raises(CairnError, match="objective dino is for volumes"):
        DinoConfig().check(NET)
