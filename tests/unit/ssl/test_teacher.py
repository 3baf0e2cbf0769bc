"""Guards the teacher: what it is after several updates, and that nothing else moves it."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from cairn.config.prototypes import TeacherConfig
from cairn.config.training import OptimConfig
from cairn.ssl.teacher import Teacher, momentum
from cairn.train.optim import make_optimizer

CONFIG = TeacherConfig(momentum=0.5, momentum_end=0.9, ramp_steps=4)


def student():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.9), nn.Linear(4, 2)).double()


def test_it_follows_as_a_plain_moving_average_does():
    own = student()
    teacher = Teacher(own, CONFIG)
    expected = {k: v.detach().numpy().copy() for k, v in own.named_parameters()}
    for step in range(1, 8):
        with torch.no_grad():
            for p in own.parameters():
                p += torch.randn_like(p)
            teacher.follow(own, step)
        keep = 0.9 - 0.4 * (1 + math.cos(math.pi * min(1, step / 4))) / 2
        for name, p in own.named_parameters():
            expected[name] = keep * expected[name] + (1 - keep) * p.detach().numpy()
    for name, p in teacher.network.named_parameters():
        np.testing.assert_allclose(p.numpy(), expected[name], atol=1e-12)


def test_momentum_counts_steps_and_stays_at_its_end():
    assert [momentum(CONFIG, s) for s in (0, 4, 400)] == pytest.approx([0.5, 0.9, 0.9])
    assert momentum(CONFIG, 2) == pytest.approx(0.7)
    rise = [momentum(CONFIG, s) for s in range(5)]
    assert rise == sorted(rise)


def test_buffers_are_copied():
    own = nn.BatchNorm1d(2)
    teacher = Teacher(own, CONFIG)
    own(torch.randn(5, 2))
    with torch.no_grad():
        teacher.follow(own, 1)
    assert torch.equal(teacher.network.running_mean, own.running_mean)


def test_neither_gradient_nor_optimiser_nor_training_mode_reach_it():
    both = nn.ModuleDict({"student": student()})
    both["teacher"] = Teacher(both["student"], CONFIG)
    both.train()
    x = torch.randn(2, 3).double()
    out = both["teacher"](x)
    assert not out.requires_grad
    assert torch.equal(out, both["teacher"](x))  # no dropout
    assert both["student"].training
    held = {id(p) for g in make_optimizer(both, OptimConfig()).param_groups for p in g["params"]}
    assert held == {id(p) for p in both["student"].parameters()}


def test_it_is_a_copy():
    own = student()
    teacher = Teacher(own, CONFIG)
    before = copy.deepcopy(teacher.state_dict())
    with torch.no_grad():
        own[0].weight += 1
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())
