"""The optimiser, and how the optimiser's state becomes named tensors and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from cairn.config.training import OptimConfig
from cairn.ssl.pace import FULL, Pace, full_pace

MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def make_optimizer(
    module: nn.Module, config: OptimConfig, pace: Callable[[str], Pace] = full_pace
) -> torch.optim.AdamW:  # fmt: skip
    """AdamW; norms and biases do not decay, and ``decays`` of a group says so, as ``pace`` how fast it learns."""
    members: dict[tuple[bool, Pace], list[nn.Parameter]] = {(True, FULL): [], (False, FULL): []}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            members.setdefault((parameter.ndim > 1, pace(name)), []).append(parameter)
    groups = [
        {"params": held, "decays": decays, "pace": its, "weight_decay": config.weight_decay if decays else 0.0}
        for (decays, its), held in members.items()
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def moments(module: nn.Module, optimizer: torch.optim.AdamW) -> dict[str, Tensor]:
    """The optimiser's state as ``{moment}.{parameter}``; a parameter not yet updated has none."""
    out = {}
    for name, parameter in module.named_parameters():
        for moment in MOMENTS:
            if parameter in optimizer.state:
                out[f"{moment}.{name}"] = optimizer.state[parameter][moment]
    return out


def restore_moments(
    module: nn.Module, optimizer: torch.optim.AdamW, tensors: Mapping[str, Tensor],
    part: Callable[[Tensor, Tensor], Tensor],
) -> None:  # fmt: skip
    """Inverse of `moments`; ``part`` gives a tensor the device and the layout of another."""
    for name, parameter in module.named_parameters():
        if f"step.{name}" in tensors:
            # The step counter stays on the CPU, as AdamW itself keeps it; the others lie as their parameter does.
            given = {m: part(tensors[f"{m}.{name}"], torch.empty(0) if m == "step" else parameter) for m in MOMENTS}
            optimizer.state[parameter] = {
                m: x if m == "step" else torch.empty_like(parameter, requires_grad=False).copy_(x)
                for m, x in given.items()
            }
