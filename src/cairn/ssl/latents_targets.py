"""A teacher's targets: what becomes of the logits of one of its heads, by a temperature that rises with the steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cairn.config.prototypes import PrototypeConfig
from cairn.ssl.latents_assign import advance, centred, sinkhorn


class PrototypeTargets(nn.Module):  # type: ignore[misc]
    """Logits of a teacher to targets, and the running centre that keeps it from favouring some prototypes.

    Args:
        config: temperatures, and how targets are made.
    """

    centre: Tensor

    def __init__(self, config: PrototypeConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("centre", torch.zeros(config.prototypes))

    def forward(self, logits_NK: Tensor, updates: int) -> Tensor:
        """Targets ``[N, K]`` after so many ``updates``. In training mode the centre then advances."""
        c = self.config
        temperature = teacher_temperature(c, updates)
        # A validation sees one session at a time: Sinkhorn has nothing to balance there, the running centre has.
        if c.targets == "sinkhorn" and self.training:
            targets = sinkhorn(logits_NK, temperature, c.sinkhorn_iterations)
        else:
            targets = centred(logits_NK, self.centre, temperature)
        if self.training:
            advance(self.centre, logits_NK, c.centre_momentum)
        return targets


def teacher_temperature(config: PrototypeConfig, updates: int) -> float:
    """From start to end along a line, which counts steps."""
    ramp = min(1.0, updates / config.temperature_steps)
    return config.teacher_temperature + ramp * (config.teacher_temperature_end - config.teacher_temperature)
