"""Guards that a device augments as the CPU does: same parameters, same voxels but for noise, the same at every try."""

import numpy as np
import pytest
import torch
from latents import SECTIONS
from learning import NETWORK
from made import make_set

from cairn.config.base import parse
from cairn.config.training import PretrainConfig
from cairn.errors import CairnError
from cairn.io.sessions import open_sessions
from cairn.ssl.cuts import Cuts, changed, stack
from cairn.ssl.draws import generator
from cairn.ssl.objective import Objective
from cairn.ssl.registry import OBJECTIVES
from cairn.train.pretrain import PretrainJob, PretrainProblem, augment_on

OFTEN = dict.fromkeys(("blur", "bias", "gamma", "contrast", "low_resolution", "gibbs", "ghosting"), 0.5)
CPU = torch.device("cpu")
VOLUMETRIC = sorted(set(OBJECTIVES) - {"curia"})  # slices are augmented on the CPU
PLACE_ALONE = {"jepa", "subject_sequence"}


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    return open_sessions([make_set(tmp_path_factory.mktemp("cuts"), "classification", 4, shape=(20, 22, 18)).index])


def job(kind, noise=0.0, **pretrain):
    tones = {} if kind in PLACE_ALONE else {"intensity": {**OFTEN, "noise": noise}}
    section = {"kind": kind, "patch_voxels": [16, 16, 16], **SECTIONS.get(kind, {}), **tones}
    section["spatial"] = {"flip": 0.5, "affine": 0.7}
    recipe = {"batch_size": 6, **pretrain}
    return parse(PretrainJob, {"run": "x", "seed": 5, "network": NETWORK, "objective": section, "pretrain": recipe})


def both(kind, sessions, noise=0.0):
    """Batches of the two ways, made for a CPU."""
    problems = [PretrainProblem(job(kind, noise, augment_on=where), sessions) for where in ("cpu", "device")]
    return [problem.augmented(problem.batch(3)) for problem in problems]


@pytest.mark.parametrize("kind", VOLUMETRIC)
def test_the_device_makes_the_views_of_the_cpu(kind, sessions):
    at_once, later = both(kind, sessions)
    assert set(at_once) == set(later)
    for name, view in at_once.items():
        torch.testing.assert_close(later[name], view, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", VOLUMETRIC)
def test_changing_happens_on_the_device_of_the_cut(kind, sessions, monkeypatch):
    """The meta device refuses whatever meets a tensor of the CPU, as a GPU does."""
    monkeypatch.setitem(globals(), "OFTEN", dict.fromkeys(OFTEN, 1.0))
    problem = PretrainProblem(job(kind, augment_on="device"), sessions)
    cuts = problem.batch(1)["cuts"]
    elsewhere = stack([problem.module.change(cut) for cut in cuts.to(torch.device("meta")).cuts])
    for name, view in changed(problem.module, cuts).items():
        assert elsewhere[name].is_meta
        assert (elsewhere[name].shape, elsewhere[name].dtype) == (view.shape, view.dtype)


@pytest.mark.parametrize("kind", ["mae", "simclr"])
def test_noise_is_of_its_size_and_of_nothing_but_its_seed(kind, sessions):
    (silent, _), (_, noisy), (_, again) = both(kind, sessions), both(kind, sessions, 1.0), both(kind, sessions, 1.0)
    assert all(torch.equal(noisy[k], again[k]) for k in noisy)
    if kind == "mae":  # one scan, so that noise is the last that is drawn of intensity, and nothing else changes
        background = silent["target"] == 0
        difference = noisy["view"] - silent["view"]
        assert torch.equal(noisy["target"], silent["target"])
        assert torch.equal(noisy["hidden"], silent["hidden"])
        assert (difference[background] == 0).all()
        seen = ~background & ~silent["hidden"]
        spread = [float(d[s].std()) for d, s in zip(difference, seen, strict=True)]
        assert 1e-3 < min(spread) < max(spread) < 0.33


def test_a_cut_has_the_parameters_of_the_views(sessions):
    objective = PretrainProblem(job("mae", 1.0), sessions).module
    field, seed = (objective.cut(sessions[0], generator(0, "v", 1), seeded=s) for s in (False, True))
    assert torch.equal(field.tensors["patch"], torch.from_numpy(sessions[0].patch(*_patch(objective, sessions[0]))))
    for name in ("target", "view"):
        drawn = [[(c.func.__name__, c.keywords) for c in cut.drawn[name]] for cut in (field, seed)]
        for (what, told), (other, its) in zip(*drawn, strict=True):
            if what == "_noise":
                assert other == "_seeded_noise"
                assert set(its) == {"seed", "std"}
            else:
                assert what == other
                assert all(np.array_equal(told[k], its[k]) for k in told | its)


def _patch(objective, session):
    from cairn.ssl.crops import one_sequence
    from cairn.ssl.mae import random_origin

    draw, size = generator(0, "v", 1), objective.config.patch_voxels
    return one_sequence(session, draw), random_origin(session.geometry.shape, size, draw), size


def test_cuts_move_as_a_tensor_does(sessions):
    objective = PretrainProblem(job("hybrid"), sessions).module
    cuts = Cuts(tuple(objective.cut(s, generator(0, "v", i)) for i, s in enumerate(sessions)))
    assert len({cut.tensors["box"].shape for cut in cuts.cuts}) > 1  # boxes are of many sizes, and are not stacked
    nowhere = cuts.to(torch.device("meta"))
    assert all(x.is_meta for cut in nowhere.cuts for x in cut.tensors.values())
    views = changed(objective, cuts.to(CPU, non_blocking=True))
    at_once = stack([objective.views(s, generator(0, "v", i)) for i, s in enumerate(sessions)])
    assert all(torch.equal(views[k], at_once[k]) for k in at_once)


def test_changing_is_in_full_precision(sessions):
    objective = PretrainProblem(job("mae"), sessions).module
    cuts = Cuts((objective.cut(sessions[0], generator(0, "v", 1)),))
    with torch.autocast("cpu", torch.bfloat16):
        views = changed(objective, cuts)
    assert torch.equal(views["view"], changed(objective, cuts)["view"])
    assert not views["view"].requires_grad


def test_a_gpu_augments_unless_it_is_told_otherwise(sessions):
    objective = PretrainProblem(job("mae"), sessions).module
    cuda = torch.device("cuda")
    assert augment_on(job("mae"), objective, CPU) == "cpu"
    assert augment_on(job("mae"), objective, cuda) == "device"
    assert augment_on(job("mae", augment_on="cpu"), objective, cuda) == "cpu"


def test_an_objective_that_makes_its_views_at_once_stays_on_the_cpu(sessions):
    class AtOnce(Objective):
        views = forward = embed = None

    assert PretrainConfig().augment_on == "auto"
    assert augment_on(job("mae"), AtOnce(), torch.device("cuda")) == "cpu"
    with pytest.raises(CairnError, match="makes its views on the CPU"):
        augment_on(job("mae", augment_on="device"), AtOnce(), CPU)
