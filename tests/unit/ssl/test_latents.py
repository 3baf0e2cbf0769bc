"""Guards what all objectives in feature space promise: views of the draw alone, a loss that falls, an exact resume."""

import pytest
import torch
from latents import SECTIONS, batch_of, interrupted, problem, run, same_views, section, trained
from learning import NETWORK
from made import make_set

from cairn.io.sessions import open_sessions
from cairn.ssl.registry import build_objective

KINDS = sorted(SECTIONS)
TAUGHT = sorted(set(KINDS) - {"mae", "subject_sequence"})


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return make_set(tmp_path_factory.mktemp("latents"), "classification", 8, shape=(20, 22, 20)).index


@pytest.mark.parametrize("kind", KINDS)
def test_views_are_of_the_draw_alone_and_alike_in_shape(index, kind):
    objective = problem(index, section(kind)).module
    sessions = open_sessions([index])
    assert same_views(objective, sessions[1])
    batch_of(objective, sessions[:3])  # stacks


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_is_repeatable_and_changes_nothing(index, kind):
    objective = problem(index, section(kind)).module.eval()
    batch = batch_of(objective, open_sessions([index])[:2])
    before = {k: v.clone() for k, v in objective.state_dict().items()}
    first = objective(batch)
    torch.rand(7)
    assert torch.equal(first, objective(batch))
    assert all(torch.equal(v, before[k]) for k, v in objective.state_dict().items())
    one = {k: v[:1] for k, v in batch.items()}
    assert objective(one).isfinite()  # a validation sees one session at a time
    embedding = objective.embed(batch)
    assert embedding.shape == (2, 2 * NETWORK["channels"][-1])
    assert embedding.dtype == torch.float32


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_reaches_all_that_trains_and_no_teacher(index, kind):
    objective = problem(index, section(kind)).module.train()
    objective(batch_of(objective, open_sessions([index])[:3])).backward()
    for name, parameter in objective.named_parameters():
        assert (parameter.grad is not None) == ("teacher" not in name), name
    assert any("teacher" in n for n, _ in objective.named_parameters()) == (kind in TAUGHT)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"dino"}))
def test_training_lowers_the_loss(index, tmp_path, kind):
    (before, _), (after, spread) = trained(problem(index, section(kind)), tmp_path)
    assert after < 0.85 * before
    assert spread > 0.05


@pytest.mark.parametrize("kind", ["dino", "subject_sequence"])
def test_an_interrupted_run_ends_with_the_same_bytes(index, tmp_path, monkeypatch, kind):
    whole = run(tmp_path / "whole", index, section(kind))
    with interrupted(monkeypatch, step=5):
        run(tmp_path / "cut", index, section(kind))
    torch.rand(11)
    again = run(tmp_path / "cut", index, section(kind))
    assert all(torch.equal(whole[k], again[k]) for k in whole | again)
    assert (tmp_path / "whole/history.jsonl").read_bytes() == (tmp_path / "cut/history.jsonl").read_bytes()


@pytest.mark.parametrize("kind", TAUGHT)
def test_the_encoder_that_is_saved_is_the_one_the_method_evaluates(index, tmp_path, kind, monkeypatch):
    built = []

    def build(*arguments):
        built.append(build_objective(*arguments))
        return built[-1]

    monkeypatch.setattr("cairn.train.pretrain.build_objective", build)
    saved = run(tmp_path, index, section(kind))
    student, named = built[0].encoder.state_dict(), built[0].get_submodule(built[0].saved).state_dict()
    assert set(saved) == set(student)
    assert all(torch.equal(saved[k], named[k]) for k in saved)
    assert all(torch.equal(saved[k], student[k]) for k in saved) == (kind == "hybrid")


def test_the_start_is_of_the_seed(index):
    one, two = (problem(index, section("dino")).module.state_dict() for _ in range(2))
    assert all(torch.equal(v, two[k]) for k, v in one.items())
