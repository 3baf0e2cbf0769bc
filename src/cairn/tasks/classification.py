"""Classification: one probability a session."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cairn.errors import CairnError
from cairn.tasks.cases import Case, Label
from cairn.tasks.targets import auroc, class_label
from cairn.tasks.task import Array, Task


class Classification(Task):
    """Binary cross-entropy, positives weighed so that both classes count alike; validated by AUROC."""

    def target(self, case: Case, label: Label) -> Array:
        """0 or 1."""
        return class_label(case, label)

    def fit(self, targets: Sequence[Array]) -> None:
        """Weight of a positive: negatives a positive."""
        positive = float(np.sum(targets))
        if positive in (0.0, float(len(targets))):
            raise CairnError("Every training case has the same label.", "A classification needs both.", "one-class")
        self.facts["positive_weight"] = (len(targets) - positive) / positive

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Weighted binary cross-entropy."""
        weight = torch.tensor(self.facts["positive_weight"], device=logits.device)
        return functional.binary_cross_entropy_with_logits(logits, target, pos_weight=weight)

    def predict(self, logits: Tensor) -> Tensor:
        """Probability of label 1."""
        return torch.sigmoid(logits)

    def score(self, predictions: Sequence[Array], targets: Sequence[Array]) -> float:
        """AUROC; NaN with one class only."""
        return auroc(np.array(predictions, float), np.array(targets, float))

    def strata(self, targets: Sequence[Array]) -> list[int]:
        """The classes."""
        return [int(t) for t in targets]
