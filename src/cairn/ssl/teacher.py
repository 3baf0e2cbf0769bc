"""A teacher: a frozen copy of a module that follows it as a moving average (Tarvainen and Valpola 2017)."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn

from cairn.config.latents import TeacherConfig


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
        share = 1 - momentum(self.config, step)
        for own, its in zip(self.network.parameters(), student.parameters(), strict=True):
            own.lerp_(its, share)
        for own, its in zip(self.network.buffers(), student.buffers(), strict=True):
            own.copy_(its)


def momentum(config: TeacherConfig, step: int) -> float:
    """Share of itself that a teacher keeps at update ``step``: from start to end along half a cosine."""
    past = min(1.0, step / config.ramp_steps)
    return config.momentum_end - (config.momentum_end - config.momentum) * 0.5 * (1 + math.cos(math.pi * past))
