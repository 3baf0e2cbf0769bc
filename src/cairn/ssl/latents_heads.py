"""A head that assigns features to prototypes. No batch norm: batches are small, and a validation sees one session."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from cairn.ssl.heads import at_least_float32, full_precision, projector


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
        self.perceptron = projector(channels, [hidden, hidden, bottleneck], nn.GELU)
        self.prototypes = nn.Parameter(torch.empty(prototypes, bottleneck))
        nn.init.trunc_normal_(self.prototypes, std=0.02)

    def forward(self, x_NC: Tensor) -> Tensor:
        """Cosines ``[N, K]``, float32. The prototypes' lengths do not count: they are weight-normalised with gain 1."""
        x = functional.normalize(at_least_float32(self.perceptron(x_NC)), dim=1)
        with full_precision(x):
            return functional.linear(x, functional.normalize(self.prototypes, dim=1))
