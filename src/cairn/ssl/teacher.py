"""A teacher: a frozen copy of a module that follows it as a moving average (Tarvainen and Valpola 2017)."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn

from cairn.config.prototypes import TeacherConfig


class Teacher(nn.Module):  # type: ignore[misc]
    """A copy of ``student`` that no gradient reaches, so that the optimiser leaves it alone; always in eval mode.

    Args:
        student: what is copied; it is not kept.
        config: the momentum and its ramp.
    """

    def __init__(self, student: nn.Module, config: TeacherConfig) -> None:
        super().__init__()
        self.config = config
        self.network = copy.deepcopy(student).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Teacher:
        """Stay in eval mode, whatever is asked."""
        return super().train(False)  # type: ignore[no-any-return]

    def forward(self, *inputs: Any) -> Any:
        """What the copy makes of ``inputs``, without gradient."""
        with torch.no_grad():
            return self.network(*inputs)

    def follow(self, student: nn.Module, step: int) -> None:
        """Move towards ``student`` after update number ``step`` (from 1). Call without gradient."""
        follow(self.network, student, momentum(self.config, step))
        for own, its in zip(self.network.buffers(), student.buffers(), strict=True):
            own.copy_(its)


def follow(slow: nn.Module, fast: nn.Module, keep: float) -> None:
    """Move the weights of ``slow``, which keep the share ``keep`` of themselves, towards those of ``fast``."""
    for own, its in zip(slow.parameters(), fast.parameters(), strict=True):
        own.lerp_(its.detach(), 1 - keep)


def half_cosine(start: float, end: float, past: float) -> float:
    """From ``start``, where the share ``past`` of the way is 0, to ``end``, where it is 1 or more."""
    return end - (end - start) * 0.5 * (1 + math.cos(math.pi * min(1.0, past)))


def momentum(config: TeacherConfig, step: int) -> float:
    """Share of itself that a teacher keeps at update ``step``: from start to end along half a cosine."""
    return half_cosine(config.momentum, config.momentum_end, step / config.ramp_steps)
