"""Guards runs made longer or shorter: they go on where they can, and end as if they had been so from the start."""

import itertools
import json

import numpy as np
import pytest
import torch
from killing import STAGES, same, states, train, trained

from cairn.config.training import OptimConfig
from cairn.train.loop import Loop, Problem
from cairn.train.pretrain import PretrainProblem
from cairn.train.state import StateFolder


class Line(Problem):
    """Fits one weight to noise drawn by the step; its validation rises and falls, so that it has a best."""

    name, seed, keep_best = "line", 0, True

    def __init__(self, stop=None):
        torch.manual_seed(0)
        self.module, self.stop, self.steps = torch.nn.Linear(3, 1), stop, []

    def batch(self, step):
        if step == self.stop:
            raise KeyboardInterrupt
        self.steps.append(step + 1)
        return {"x": torch.from_numpy(np.random.default_rng(step).normal(size=(4, 3)).astype(np.float32))}

    def loss(self, batch):
        return ((self.module(batch["x"]) - batch["x"].sum(1, keepdim=True)) ** 2).mean()

    def validate(self, device):
        level = float(self.module.weight.sum())
        return {"val": -abs(level % 0.01 - 0.005), "tie": 0.0}


def line(folder, stop=None, **config):
    """Result and trained steps of a run; None for the result if it was interrupted."""
    problem = Line(stop)
    config = OptimConfig(**{"learning_rate": 0.01, "warmup_steps": 3, "log_every": 4, "validate_every": 3, **config})
    try:
        return Loop(problem, config, StateFolder(folder, "k"), torch.device("cpu")).run(), problem.steps
    except KeyboardInterrupt:
        return None, problem.steps


def assert_equal(a, b):
    assert (a.step, a.records, a.best) == (b.step, b.records, b.best)
    assert all(torch.equal(a.tensors[k], b.tensors[k]) for k in b.tensors)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("decay_share", [0.2, 0.0])
def test_a_longer_run_goes_on_and_ends_with_the_bytes_of_one_from_the_start(
    labelled, uninterrupted, tmp_path, stage, decay_share
):
    train(stage, tmp_path, labelled, steps=9, decay_share=decay_share)
    train(stage, tmp_path, labelled, steps=14, decay_share=decay_share)
    trunk = 9 - round(9 * decay_share)
    assert trained(tmp_path) == [list(range(1, 10)), list(range(trunk + 1, 15))]
    assert same(tmp_path, uninterrupted(stage, steps=14, decay_share=decay_share), stage)
    assert not same(tmp_path, uninterrupted(stage, steps=9, decay_share=decay_share), stage)


def test_the_last_validation_of_a_shorter_run_is_forgotten(tmp_path):
    """At its end every run validates and records once more; a longer one must not inherit that as its best."""
    scores = {2: 0.1, 4: 0.2, 5: 0.9, 6: 0.3, 8: 0.2}

    class Scored(Line):
        def validate(self, device):
            return {"val": scores[self.steps[-1] if self.steps else 5], "tie": 0.0}

    def run(folder, steps):
        config = OptimConfig(steps=steps, warmup_steps=0, decay_share=0, validate_every=2, log_every=3)
        return Loop(Scored(), config, StateFolder(folder, "k"), torch.device("cpu")).run()

    assert run(tmp_path / "a", 5).best["step"] == 5
    longer = run(tmp_path / "a", 8)
    assert longer.best["step"] == 6
    assert_equal(longer, run(tmp_path / "b", 8))


def test_a_longer_run_interrupted_and_lengthened_again(labelled, uninterrupted, tmp_path, monkeypatch):
    original = PretrainProblem.batch

    def batch(self, step):
        if step == 12:
            raise KeyboardInterrupt
        return original(self, step)

    train("pretrain", tmp_path, labelled, steps=5)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patch.setattr(PretrainProblem, "batch", batch)
        train("pretrain", tmp_path, labelled, steps=14)
    train("pretrain", tmp_path, labelled, steps=17)
    # 14 steps fall from step 11 on, so that of its states at 10, 11 and 12 the one at 11 serves 17 steps.
    assert [run[0] for run in trained(tmp_path)] == [1, 5, 12]
    assert same(tmp_path, uninterrupted("pretrain", steps=17))


def test_a_finished_run_trains_nothing_more(labelled, uninterrupted, tmp_path):
    train("finetune", tmp_path, labelled, steps=9)
    train("finetune", tmp_path, labelled, steps=9)
    assert trained(tmp_path) == [list(range(1, 10))]
    assert same(tmp_path, uninterrupted("finetune", steps=9), "finetune")


def test_a_shorter_run_starts_anew_where_all_states_lie_past_its_decay(labelled, uninterrupted, tmp_path, capsys):
    train("pretrain", tmp_path, labelled, steps=14)
    train("pretrain", tmp_path, labelled)
    assert "nothing here (of runs of 14 steps) is part of a run of 9 steps: training starts anew" in (
        capsys.readouterr().err
    )
    assert same(tmp_path, uninterrupted("pretrain"))


def test_a_shorter_run_goes_on_from_the_common_trunk(tmp_path):
    line(tmp_path / "a", stop=9, steps=40, state_every=4)
    result, steps = line(tmp_path / "a", steps=12, state_every=4)
    assert steps == list(range(9, 13))
    assert_equal(result, line(tmp_path / "b", steps=12)[0])


@pytest.mark.parametrize("finished", [False, True])
def test_steps_lowered_by_mistake_cost_the_longer_run_nothing(tmp_path, finished):
    line(tmp_path / "a", stop=25, steps=40, state_every=4)
    line(tmp_path / "a", stop=None if finished else 5, steps=10, state_every=4)
    result, steps = line(tmp_path / "a", steps=40, state_every=4)
    assert steps == list(range(25, 41))
    assert_equal(result, line(tmp_path / "b", steps=40)[0])


@pytest.mark.parametrize("stage", STAGES)
def test_under_a_cosine_a_longer_run_starts_anew_and_says_how_to_avoid_it(
    labelled, uninterrupted, tmp_path, capsys, stage
):
    train(stage, tmp_path, labelled, steps=5, schedule="cosine")
    train(stage, tmp_path, labelled, steps=9, schedule="cosine")
    assert "training starts anew; with schedule 'constant' a longer run goes on" in capsys.readouterr().err
    assert trained(tmp_path) == [list(range(1, 6)), list(range(1, 10))]
    assert same(tmp_path, uninterrupted(stage, steps=9, schedule="cosine"), stage)


def test_the_interval_of_states_is_free_to_change(labelled, uninterrupted, tmp_path):
    train("pretrain", tmp_path, labelled, state_every=3)
    train("pretrain", tmp_path, labelled, state_every=5)
    assert len(trained(tmp_path)) == 1
    assert same(tmp_path, uninterrupted("pretrain"))


def test_kept_are_the_last_two_states_and_the_end_of_the_trunk(tmp_path):
    def kept():
        return [p.name for p in sorted((tmp_path / "k").glob("state-*"))]

    def names(*pairs):
        return [f"state-{step:09d}-of-{steps:09d}.safetensors" for step, steps in pairs]

    line(tmp_path, stop=19, steps=20, state_every=1)
    assert kept() == names((16, 20), (18, 20), (19, 20))
    line(tmp_path, stop=24, steps=30, state_every=1)
    assert kept() == names((16, 20), (18, 20), (19, 20), (23, 30), (24, 30))
    line(tmp_path, steps=30, state_every=10)
    assert kept() == names((23, 30), (24, 30), (30, 30))[1:]
    line(tmp_path, steps=10, state_every=10)
    assert kept() == names((8, 10), (10, 10), (24, 30))


@pytest.mark.parametrize("number", [*range(4), *(pytest.param(n, marks=pytest.mark.slow) for n in range(4, 24))])
def test_equal_configuration_gives_equal_results_whatever_was_trained_before(tmp_path, number):
    rng = np.random.default_rng(number)
    schedule = "cosine" if number % 4 == 3 else "constant"
    fixed = {"schedule": schedule, "decay_share": float(rng.choice([0.0, 0.2, 0.5, 1.0]))}
    whole = {}
    for turn in itertools.count():
        steps = int(rng.integers(1, 26))
        stop = int(rng.integers(0, steps)) if rng.random() < 0.5 else None
        found, _ = line(tmp_path / "a", stop, steps=steps, state_every=int(rng.integers(1, 6)), **fixed)
        if found:
            if steps not in whole:
                whole[steps] = line(tmp_path / f"whole-{steps}", steps=steps, **fixed)[0]
            assert_equal(found, whole[steps])
        if turn > 9 and len(whole) > 3:
            break


def test_the_history_of_a_longer_run_has_no_mark_of_the_shorter(labelled, tmp_path):
    train("pretrain", tmp_path, labelled)
    train("pretrain", tmp_path, labelled, steps=13)
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [r["step"] for r in lines if "lr" in r] == [2, 4, 6, 8, 10, 12, 13]
    assert states(tmp_path)
