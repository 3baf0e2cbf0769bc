"""What a kind of task is: targets, loss, validation score, prediction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt
from torch import Tensor

from cairn.config.tasks import TaskInputs
from cairn.tasks.cases import Case, Label

Array = npt.NDArray[Any]


class Task(ABC):
    """Base of every kind of task. ``facts`` is what the model must remember of its training set.

    Args:
        config: the task's section.
        facts: for a trained model, what `fit` had found.
    """

    dense = False
    """A prediction a voxel, or one a session."""
    outputs = 1
    """Logits of a prediction: 1, or background and every class."""

    def __init__(self, config: TaskInputs, facts: Mapping[str, float] | None = None) -> None:
        self.config = config
        self.facts: dict[str, float] = dict(facts or {})

    @abstractmethod
    def target(self, case: Case, label: Label) -> Array:
        """Target of a case: float32 scalar, or ``[X, Y, Z]`` (0/1, or labels) on the session's grid.

        Raises:
            CairnError: when the label does not suit the kind of task.
        """

    def fit(self, targets: Sequence[Array]) -> None:  # noqa: B027
        """Learn what the loss needs from the targets of the training cases alone."""

    @property
    def prior_logits(self) -> tuple[float, ...]:
        """What an untrained head should answer, one a logit."""
        return (0.0,)

    @abstractmethod
    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of a batch of logits (``[B]``, ``[B, X, Y, Z]`` or, with several outputs, ``[B, C, X, Y, Z]``)."""

    @abstractmethod
    def predict(self, logits: Tensor) -> Tensor:
        """Predictions: probabilities, or years."""

    @abstractmethod
    def score(self, predictions: Sequence[Array], targets: Sequence[Array]) -> float:
        """Validation metric, higher is better; NaN where it is undefined."""

    def strata(self, targets: Sequence[Array]) -> list[int]:
        """Group of each case that a split keeps in proportion."""
        return [0] * len(targets)
