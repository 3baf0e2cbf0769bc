"""What fine-tuning changes of a pretrained encoder: all of it, nothing, or a low-rank part of its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from cairn.config.training import FinetuneConfig
from cairn.nets.encoder import seeded
from cairn.nets.models import TaskModel


class LowRank(nn.Module):  # type: ignore[misc]
    """A weight as the frozen one plus ``alpha / rank`` times a product of two thin matrices (LoRA: Hu et al. 2021).

    For a convolution the first is one of the same kernel to ``rank`` channels, the second goes on from these voxel by
    voxel. The product is 0 at the start. It is added to the weight, not run beside it: for volumes that is cheaper, and
    the trained model is the merged one.

    Args:
        weight: ``[out, …]``.
        rank: at most; a small weight has no more than its own.
        alpha: strength.
    """

    def __init__(self, weight: Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        rows, columns = weight.shape[0], weight[0].numel()
        rank = min(rank, rows, columns)
        self.scale = alpha / rank
        self.down = nn.Parameter(torch.empty(rank, columns))
        self.up = nn.Parameter(torch.zeros(rows, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        """The changed weight."""
        return weight + self.scale * (self.up @ self.down).view_as(weight)


def adapt(model: TaskModel, recipe: FinetuneConfig, seed: int) -> None:
    """Freeze what the recipe's ``mode`` leaves as it is, and add what it trains instead.

    Args:
        model: with the weights that it starts from.
        recipe: mode; rank and alpha of ``lora``.
        seed: of the adapters' start.
    """
    if recipe.mode == "full":
        return
    model.freeze_encoder()
    if recipe.mode == "lora":
        with seeded(seed):
            for layer in _layers(model.encoder):
                low_rank = LowRank(layer.weight, recipe.lora_rank, recipe.lora_alpha)
                parametrize.register_parametrization(layer, "weight", low_rank)


def merged(model: TaskModel, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """``tensors``, a state of ``model``, as a model without adapters has them: what prediction loads."""
    adapted = [layer for layer in model.encoder.modules() if parametrize.is_parametrized(layer, "weight")]
    if not adapted:
        return tensors
    model.load_state_dict(tensors)
    for layer in adapted:
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    return dict(model.state_dict())


def trained(model: TaskModel) -> int:
    """Number of weights that the optimiser changes."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _layers(encoder: nn.Module) -> list[nn.Module]:
    """Linear layers and convolutions. A depthwise convolution stays: it has hardly more weights than its adapter."""
    found = [m for m in encoder.modules() if isinstance(m, nn.Linear | nn.Conv3d)]
    return [m for m in found if not isinstance(m, nn.Conv3d) or m.groups == 1]
