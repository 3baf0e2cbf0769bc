"""Segmentation: a probability a voxel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cairn.errors import CairnError
from cairn.tasks.cases import Case, Label
from cairn.tasks.targets import dice, grid_mask
from cairn.tasks.task import Array, Task

SMOOTH = 1.0


class Segmentation(Task):
    """Soft Dice plus cross-entropy, after nnU-Net; validated by Dice at the task's threshold."""

    dense = True

    def target(self, case: Case, label: Label) -> Array:
        """The native mask, carried to the session's grid."""
        return grid_mask(self.config, case, label)

    def fit(self, targets: Sequence[Array]) -> None:
        """Share of lesion voxels.

        Raises:
            CairnError: when no training case holds a lesion.
        """
        share = float(np.mean([np.mean(t > 0) for t in targets]))
        if share == 0:
            raise CairnError("No training case holds a lesion.", "A segmentation needs some.", code="one-class")
        self.facts["prior"] = share

    @property
    def prior_logits(self) -> tuple[float, ...]:
        """Logit of that share (as for RetinaNet's head: Lin et al. 2017)."""
        return (math.log(self.facts["prior"] / (1 - self.facts["prior"])),)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Soft Dice of the whole batch (steady where a case holds no lesion), plus cross-entropy."""
        probability = torch.sigmoid(logits)
        overlap = (probability * target).sum()
        dice = (2 * overlap + SMOOTH) / (probability.sum() + target.sum() + SMOOTH)
        return 1 - dice + functional.binary_cross_entropy_with_logits(logits, target)

    def predict(self, logits: Tensor) -> Tensor:
        """Probability of the lesion."""
        return torch.sigmoid(logits)

    def score(self, predictions: Sequence[Array], targets: Sequence[Array]) -> float:
        """Mean Dice on the grid."""
        pairs = zip(predictions, targets, strict=True)
        return float(np.mean([dice(p >= self.config.threshold, t > 0) for p, t in pairs]))
