"""Guards the loop: best validation, NaN, and what decides a batch."""

import math

import pytest
import torch
from learning import NETWORK, OBJECTIVE, run_pretrain
from made import make_set

from cairn.config.training import OptimConfig
from cairn.errors import CairnError
from cairn.io.sessions import open_sessions
from cairn.ssl.pace import Pace
from cairn.train.loop import Loop, Problem
from cairn.train.optim import make_optimizer
from cairn.train.pretrain import PretrainJob, PretrainProblem
from cairn.train.progress import Progress
from cairn.train.schedule import Course
from cairn.train.split import split_subjects
from cairn.train.state import StateFolder


class Toy(Problem):
    """Fits one weight to 1; its validation scores are given."""

    name, seed, keep_best = "toy", 0, True

    def __init__(self, scores=(), poison=None):
        self.module = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.zeros_(self.module.weight)
        self.scores, self.poison = list(scores), poison

    def batch(self, step):
        return {"x": torch.full((1, 1), float("nan") if step == self.poison else 1.0)}

    def loss(self, batch):
        return ((self.module(batch["x"]) - 1) ** 2).mean()

    def validate(self, device):
        return self.scores.pop(0) if self.scores else {}


def run(problem, tmp_path, **changes):
    config = OptimConfig(**{"steps": 5, "validate_every": 1, "state_every": 1, "learning_rate": 0.01, **changes})
    return Loop(problem, config, StateFolder(tmp_path, "k"), torch.device("cpu")).run()


def scores(*values):
    return [{"score": v, "tie": t} for v, t in values]


@pytest.mark.parametrize(
    ("validations", "best"),
    [
        (scores((0.1, 0), (0.9, 0), (0.3, 0), (0.9, 0), (0.2, 0)), 2),  # of equals the earliest
        (scores((0.5, -3), (0.5, -1), (0.5, -2), (0.4, 0), (0.5, -1)), 2),  # ties are broken by the second number
        (scores((math.nan, -1), (math.nan, -0.5), (math.nan, -2), (math.nan, -3), (math.nan, -4)), 2),
        (scores((math.nan, 0), (0.1, -9), (math.nan, 0), (math.nan, 0), (0.0, 0)), 2),  # a number beats none
    ],
)
def test_the_best_validation_is_kept(tmp_path, validations, best):
    result = run(Toy(validations), tmp_path)
    weights = []
    run_again = Toy()
    run_again.validate = lambda device: weights.append(float(run_again.module.weight.detach())) or {}
    run(run_again, tmp_path / "again")
    assert result.step == best == result.best["step"]
    assert float(result.tensors["weight"]) == weights[best - 1]


def test_without_validation_the_last_weights_are_the_result(tmp_path):
    assert run(Toy(), tmp_path).step == 5


def test_nan_stops_with_a_clear_error_and_leaves_the_last_good_state(tmp_path):
    with pytest.raises(CairnError, match=r"toy: loss nan.* at step 4"):
        run(Toy(poison=3), tmp_path)
    assert StateFolder(tmp_path, "k").load(Course(5, 4)).step == 3


def test_norms_and_biases_do_not_decay():
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.LayerNorm(2))
    decays = {len(g["params"]): g["weight_decay"] for g in make_optimizer(module, OptimConfig()).param_groups}
    assert decays == {1: 0.01, 3: 0.0}


def test_weight_decay_follows_its_schedule_where_there_is_one(tmp_path):
    config = OptimConfig(steps=5, weight_decay=0.5, weight_decay_end=0.0, schedule="cosine")
    loop = Loop(Toy(), config, StateFolder(tmp_path, "k"), torch.device("cpu"))
    loop.run()
    matrices, vectors = (group["weight_decay"] for group in loop.optimizer.param_groups)
    assert 0 < matrices < 0.1  # of the last update
    assert vectors == 0


def test_a_weight_at_a_pace_of_its_own_begins_later_and_learns_slower(tmp_path):
    problem = Toy()
    problem.pace = lambda name: {"weight": Pace(0.25, 2)}[name]
    config = OptimConfig(steps=3, warmup_steps=0, decay_share=0, weight_decay=0, learning_rate=0.01)
    loop = Loop(problem, config, StateFolder(tmp_path, "k"), torch.device("cpu"))
    for expected in (0, 0, 0.25):
        before = float(problem.module.weight.detach())
        loop._update(problem.batch(loop.step))
        assert float(problem.module.weight.detach()) - before == pytest.approx(0.01 * expected, rel=1e-3)


def test_gradients_are_clipped(tmp_path):
    problem = Toy()
    problem.loss = lambda batch: 1e6 * problem.module(batch["x"]).sum()
    loop = Loop(problem, OptimConfig(steps=1, clip_norm=0.5), StateFolder(tmp_path, "k"), torch.device("cpu"))
    loop.run()
    assert float(problem.module.weight.grad.norm()) == pytest.approx(0.5, rel=1e-3)


def test_progress_says_rate_and_time_left(capsys):
    progress = Progress("toy", 0, 100, 2)
    progress.began -= 10
    progress.spoke -= 10
    progress.tick(20, 0.5)
    assert "toy: step 20/100 (20%), loss 0.5000, 4.0 samples/s, 0:40 left" in capsys.readouterr().err


def test_a_batch_depends_on_seed_and_step_alone(tmp_path):
    made = make_set(tmp_path, "classification", 6)
    job = {"run": "x", "seed": 1, "network": NETWORK, "objective": OBJECTIVE}
    problem = PretrainProblem(PretrainJob(**job), open_sessions([made.index]))
    late = problem.batch(7)["view"]
    for step in (3, 0, 9):
        problem.batch(step)
    torch.rand(5)
    assert torch.equal(problem.batch(7)["view"], late)
    assert not torch.equal(problem.batch(6)["view"], late)
    other = PretrainProblem(PretrainJob(**{**job, "seed": 2}), open_sessions([made.index]))
    assert not torch.equal(other.batch(7)["view"], late)


def test_a_split_is_by_subject_and_the_same_in_any_order():
    subjects = [f"{i // 2}" for i in range(40)]
    strata = [i // 20 for i in range(40)]
    train, val = split_subjects(subjects, 0.2, 3, strata)
    assert len(train) + len(val) == 40
    assert not {subjects[i] for i in train} & {subjects[i] for i in val}
    assert sorted(strata[i] for i in val) == [0] * 4 + [1] * 4
    mirrored = split_subjects(subjects[::-1], 0.2, 3, strata[::-1])[1]
    assert {subjects[::-1][i] for i in mirrored} == {subjects[i] for i in val}
    assert split_subjects(subjects, 0.2, 4, strata)[1] != val


def test_every_stratum_of_two_is_in_both_parts_and_one_subject_is_refused():
    train, val = split_subjects(["a", "b", "c", "d"], 0.01, 0, [0, 0, 1, 1])
    assert len(train) == len(val) == 2
    with pytest.raises(CairnError, match="cannot be split"):
        split_subjects(["a", "a"], 0.5, 0)


def test_the_card_of_a_pretraining(tmp_path):
    made = make_set(tmp_path, "classification", 6)
    facts = run_pretrain(tmp_path, made.index, steps=4)
    assert facts["sessions"] == {"train": 5, "val": 1}
    assert facts["steps"] == 4
    assert 0 < facts["loader_share"] < 1
    assert facts["augment_on"] == "cpu"
    assert {"step", "loss", "val_loss"} <= set(facts["final"])
    assert len(facts["weights_sha256"]) == 64
    assert facts["parameters"]["encoder"] < facts["parameters"]["all"]
