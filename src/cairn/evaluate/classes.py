"""Cases of tasks with several classes: masks of labels, and one class of many.

What belongs to one class stands in a case's ``parts``: ``dice_{class}`` and ``nsd_{class}``, or ``p_{class}``, a score.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.config.evaluate import EvaluateConfig
from cairn.evaluate.metrics import dice, nsd

Array = npt.NDArray[Any]
SUM_TOLERANCE = 1e-3


def mask_parts(
    predicted: Array, truth: Array, spacing_mm: Sequence[float], classes: Sequence[str], config: EvaluateConfig
) -> dict[str, float]:
    """Dice and NSD of each class of two masks of labels; each keeps the policy for empty masks."""
    found = {}
    for number, name in enumerate(classes, start=1):
        a, b = predicted == number, truth == number
        found[f"dice_{name}"] = dice(a, b, config.dice_both_empty)
        found[f"nsd_{name}"] = nsd(a, b, spacing_mm, config.nsd_tolerance_mm, config.nsd_both_empty)
    return found


def worst_mask(classes: Sequence[str]) -> dict[str, float]:
    """Parts of an invalid mask."""
    return {f"{metric}_{name}": 0.0 for name in classes for metric in ("dice", "nsd")}


def mean_part(parts: Mapping[str, float], metric: str) -> float:
    """Mean over the classes of one metric."""
    return float(np.mean([v for name, v in parts.items() if name.startswith(f"{metric}_")]))


def read_scores(text: str, classes: Sequence[str]) -> tuple[str, list[float]]:
    """``ok`` and the probabilities of all classes, or what is wrong with them."""
    try:
        values = [float(v) for v in text.split()]
    except ValueError:
        return "not-a-number", []
    if len(values) != len(classes):
        return "wrong-length", []
    if not all(map(math.isfinite, values)):
        return "not-finite", []
    if min(values) < 0 or abs(sum(values) - 1) > SUM_TOLERANCE:
        return "out-of-range", []
    return "ok", values


def worst_scores(true: int, classes: Sequence[str]) -> list[float]:
    """Scores of an invalid prediction: nothing for the true class, all for every other, whose areas suffer too."""
    return [0.0 if k == true else 1.0 for k in range(len(classes))]


def class_parts(scores: Sequence[float], classes: Sequence[str]) -> dict[str, float]:
    """Scores by class."""
    return {f"p_{name}": value for name, value in zip(classes, scores, strict=True)}


def named_class(scores: Sequence[float]) -> int:
    """The class of the highest score; of equal ones the first."""
    return int(np.argmax(scores))
