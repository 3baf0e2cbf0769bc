"""Regression: years."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor
from torch.nn import functional

from cairn.errors import CairnError
from cairn.tasks.cases import Case, Label
from cairn.tasks.targets import number_label
from cairn.tasks.task import Array, Task


class Regression(Task):
    """Smooth L1 on the standardised target; mean and standard deviation are those of the training cases."""

    def target(self, case: Case, label: Label) -> Array:
        """Years, not rounded."""
        return number_label(case, label)

    def fit(self, targets: Sequence[Array]) -> None:
        """Mean and standard deviation in years."""
        spread = float(np.std(targets))
        if spread == 0:
            raise CairnError("Every training case has the same target.", "A regression needs a range.", "constant")
        self.facts |= {"mean": float(np.mean(targets)), "std": spread}

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Smooth L1 in standard deviations."""
        return functional.smooth_l1_loss(logits, (target - self.facts["mean"]) / self.facts["std"])

    def predict(self, logits: Tensor) -> Tensor:
        """Years."""
        return logits * self.facts["std"] + self.facts["mean"]

    def score(self, predictions: Sequence[Array], targets: Sequence[Array]) -> float:
        """Negative mean absolute error, years."""
        return -float(np.mean(np.abs(np.array(predictions, float) - np.array(targets, float))))

    def strata(self, targets: Sequence[Array]) -> list[int]:
        """Terciles, so that validation spans the range."""
        cuts = np.quantile(np.array(targets, float), [1 / 3, 2 / 3])
        return [int(np.searchsorted(cuts, float(t))) for t in targets]
