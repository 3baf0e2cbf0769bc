"""Guards the learning rate: its shape, and that the trunk is the same in every longer run."""

import itertools

import pytest

from cairn.config.training import FinetuneConfig, OptimConfig, PretrainConfig
from cairn.train.schedule import Course, course_of, learning_rate, warmup_warning, weight_decay


def rates(**config):
    config = OptimConfig(**{"learning_rate": 2.0, **config})
    return [learning_rate(config, s) for s in range(config.steps)]


def test_constant_rises_stays_and_falls():
    found = rates(steps=100, warmup_steps=10, decay_share=0.2)
    assert found[0] == pytest.approx(0.2)
    assert found[9:80] == [2.0] * 71
    assert found[80] == 2.0
    assert found[85] == pytest.approx(2 * (1 - 0.25**0.5))
    assert 0 < found[99] < 0.06
    assert all(a > b for a, b in itertools.pairwise(found[80:]))


def test_a_cosine_rises_then_falls_to_zero():
    found = rates(steps=100, warmup_steps=10, schedule="cosine")
    assert found[0] == pytest.approx(0.2)
    assert found[9] == found[10] == 2.0
    assert found[55] == pytest.approx(1.0)
    assert 0 < found[99] < 0.01
    assert all(a >= b for a, b in itertools.pairwise(found[10:]))


@pytest.mark.parametrize("warmup_steps", [0, 1, 7, 60])
@pytest.mark.parametrize("decay_share", [0, 0.2, 0.5, 1])
def test_two_lengths_agree_to_the_bit_in_their_common_trunk(warmup_steps, decay_share):
    for short, long in [(1, 2), (3, 9), (20, 21), (20, 100), (50, 51)]:
        fixed = {"warmup_steps": warmup_steps, "decay_share": decay_share}
        a, b = (course_of(OptimConfig(steps=n, **fixed)) for n in (short, long))
        assert a.trunk <= b.trunk
        assert rates(steps=short, **fixed)[: a.trunk] == rates(steps=long, **fixed)[: a.trunk]


def test_what_two_courses_share():
    assert Course(10, 8).shares(10, Course(10, 8))
    assert Course(10, 8).shares(8, Course(20, 16))
    assert not Course(10, 8).shares(9, Course(20, 16))
    assert Course(20, 16).shares(8, Course(10, 8))
    assert not Course(20, 16).shares(9, Course(10, 8))
    assert not course_of(OptimConfig(steps=10, schedule="cosine")).shares(
        1, course_of(OptimConfig(steps=20, schedule="cosine"))
    )


def test_a_run_shorter_than_its_warmup_rises_less_far_and_says_so():
    found = rates(steps=10, warmup_steps=40)
    assert found[:8] == [2.0 * (s + 1) / 40 for s in range(8)]
    assert max(found) < 2.0 / 4
    assert "warmup_steps 40 is more than the 8 steps" in warmup_warning(OptimConfig(steps=10, warmup_steps=40))
    assert "rate stays low" in warmup_warning(OptimConfig(steps=10, warmup_steps=40, schedule="cosine"))


@pytest.mark.parametrize("config", [OptimConfig(), PretrainConfig(), FinetuneConfig()])
def test_by_default_a_tenth_is_warmup(config):
    assert config.warmup_steps == config.steps / 10
    assert not warmup_warning(config)


def test_weight_decay_stays_or_goes_to_its_end_along_a_cosine():
    still = OptimConfig(steps=100, weight_decay=0.04)
    assert {weight_decay(still, s) for s in range(100)} == {0.04}
    assert "weight_decay_end" not in still.model_dump(mode="json")  # what a run is called by does not change
    config = OptimConfig(steps=100, weight_decay=0.04, weight_decay_end=0.2, schedule="cosine")
    found = [weight_decay(config, s) for s in range(100)]
    assert found[0] == pytest.approx(0.04)
    assert found[50] == pytest.approx(0.12)
    assert found[99] == pytest.approx(0.2, abs=1e-3)
    assert all(a < b for a, b in itertools.pairwise(found))
    with pytest.raises(ValueError, match="needs schedule 'cosine'"):
        OptimConfig(weight_decay_end=0.2)
