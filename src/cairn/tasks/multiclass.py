"""Segmentation of several classes that exclude each other: probabilities of background and of every class, a voxel."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cairn.config.tasks import TaskInputs
from cairn.errors import CairnError
from cairn.tasks.cases import Case, Label
from cairn.tasks.segmentation import SMOOTH
from cairn.tasks.targets import dice, grid_labels
from cairn.tasks.task import Array, Task


class MulticlassSegmentation(Task):
    """Soft Dice, mean over the classes, plus cross-entropy (after nnU-Net); validated by the classes' mean Dice.

    One softmax over background and classes, not one sigmoid a class: a voxel of a mask carries one label, so that nerve
    and vessel compete where they touch.
    """

    dense = True

    def __init__(self, config: TaskInputs, facts: Mapping[str, float] | None = None) -> None:
        super().__init__(config, facts)
        self.outputs = 1 + len(config.classes)

    def target(self, case: Case, label: Label) -> Array:
        """The native mask's labels, carried to the session's grid."""
        return grid_labels(self.config, case, label)

    def fit(self, targets: Sequence[Array]) -> None:
        """Share of voxels of background and of each class.

        Raises:
            CairnError: when a class is in no training case.
        """
        for number in range(self.outputs):
            share = float(np.mean([np.mean(t == number) for t in targets]))
            if share == 0:
                name = self.config.classes[number - 1] if number else "background"
                raise CairnError(
                    f"No training case holds '{name}' on the session's grid.",
                    "Every class needs some; a finer preprocess.grid.spacing_mm keeps thin structures.", "one-class",
                )  # fmt: skip
            self.facts[f"prior_{number}"] = share

    @property
    def prior_logits(self) -> tuple[float, ...]:
        """Logarithm of each share."""
        return tuple(math.log(self.facts[f"prior_{n}"]) for n in range(self.outputs))

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Soft Dice of each class over the whole batch, averaged, plus cross-entropy.

        Args:
            logits: ``[B, C, X, Y, Z]``, background first.
            target: ``[B, X, Y, Z]`` of labels.
        """
        probability = torch.softmax(logits, dim=1)[:, 1:]
        wanted = functional.one_hot(target.long(), self.outputs).movedim(-1, 1)[:, 1:].to(logits.dtype)
        over = (0, 2, 3, 4)
        overlap = (probability * wanted).sum(over)
        dices = (2 * overlap + SMOOTH) / (probability.sum(over) + wanted.sum(over) + SMOOTH)
        return 1 - dices.mean() + functional.cross_entropy(logits, target.long())

    def predict(self, logits: Tensor) -> Tensor:
        """Probabilities ``[C, X, Y, Z]``, background first."""
        return torch.softmax(logits, dim=0)

    def score(self, predictions: Sequence[Array], targets: Sequence[Array]) -> float:
        """Dice on the grid, mean over classes and cases."""
        found = []
        for probability, target in zip(predictions, targets, strict=True):
            label = probability.argmax(axis=0)
            found.append([dice(label == k, target == k) for k in range(1, self.outputs)])
        return float(np.mean(found))
