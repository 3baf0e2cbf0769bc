"""Heads on pooled or voxelwise features, what compares their outputs, and cubes hidden from an encoder.

No batch norm anywhere: batches are small, and a validation sees one session at a time. Layer norm does as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from cairn.ssl.heads import at_least_float32, full_precision


def perceptron(sizes: Sequence[int]) -> nn.Sequential:
    """Linear layers of the given ``sizes``, with layer norm and GELU between them."""
    layers: list[nn.Module] = []
    for number, (inputs, outputs) in enumerate(pairwise(sizes)):
        layers += [nn.LayerNorm(inputs), nn.GELU()] if number else []
        layers.append(nn.Linear(inputs, outputs))
    return nn.Sequential(*layers)


class PrototypeHead(nn.Module):  # type: ignore[misc]
    """DINO's head (Caron et al. 2021): a perceptron to a bottleneck of length 1, its cosines with prototypes.

    Args:
        channels: numbers of a feature.
        hidden: width of the two hidden layers.
        bottleneck: numbers before the prototypes.
        prototypes: how many.
    """

    def __init__(self, channels: int, hidden: int, bottleneck: int, prototypes: int) -> None:
        super().__init__()
        self.perceptron = perceptron([channels, hidden, hidden, bottleneck])
        self.prototypes = nn.Parameter(torch.empty(prototypes, bottleneck))
        nn.init.trunc_normal_(self.prototypes, std=0.02)

    def forward(self, x_NC: Tensor) -> Tensor:
        """Cosines ``[N, K]``, float32. The prototypes' lengths do not count: they are weight-normalised with gain 1."""
        x = functional.normalize(at_least_float32(self.perceptron(x_NC)), dim=1)
        with full_precision(x):
            return functional.linear(x, functional.normalize(self.prototypes, dim=1))


def cubes(coarse_NXYZ: Tensor, unit: int) -> Tensor:
    """Each voxel as a cube of side ``unit``, ``[N, X unit, Y unit, Z unit]``."""
    for axis in (1, 2, 3):
        coarse_NXYZ = coarse_NXYZ.repeat_interleave(unit, dim=axis)
    return coarse_NXYZ


def hide(x_NXYZ: Tensor, hidden_NXYZ: Tensor) -> Tensor:
    """``x`` with 0 in the cubes that ``hidden`` (coarser by a whole number) marks."""
    return x_NXYZ.masked_fill(cubes(hidden_NXYZ, x_NXYZ.shape[1] // hidden_NXYZ.shape[1]), 0.0)


def reconstruction_error(image_NXYZ: Tensor, target_NXYZ: Tensor, hidden_NXYZ: Tensor | None) -> Tensor:
    """Mean squared error, over the voxels that ``hidden`` marks if it is given."""
    error = (image_NXYZ - target_NXYZ) ** 2
    if hidden_NXYZ is None:
        return error.mean()
    marked = hidden_NXYZ.to(error.dtype)
    return (error * marked).sum() / marked.sum()
