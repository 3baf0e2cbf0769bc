"""The optimiser, and how the optimiser's state becomes named tensors and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from cairn.config.training import OptimConfig

MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def make_optimizer(module: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW; norms and biases do not decay, and ``decays`` of a group says so."""
    matrices = [p for p in module.parameters() if p.requires_grad and p.ndim > 1]
    vectors = [p for p in module.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [{"params": matrices, "decays": True}, {"params": vectors, "weight_decay": 0.0, "decays": False}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay)


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
