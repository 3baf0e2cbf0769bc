"""Cases of tasks with several classes: masks of labels, one class of many, several findings at once.

What belongs to one class stands in a case's ``parts``: ``dice_{class}`` and ``nsd_{class}``, or ``p_{class}``, a score;
of a finding ``y_{finding}``, whether it is there, as well.
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
TRUTH = "y_"
EVENT = "event"
"""Parts that hold what is true, not what was said: of a finding, and of survival."""


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


def read_scores(text: str, classes: Sequence[str], exclusive: bool = True) -> tuple[str, list[float]]:
    """``ok`` and the probabilities of all classes, or what is wrong with them.

    Args:
        text: the probabilities, separated by spaces.
        classes: names of the classes.
        exclusive: whether they sum to 1; findings do not exclude each other.
    """
    try:
        values = [float(v) for v in text.split()]
    except ValueError:
        return "not-a-number", []
    if len(values) != len(classes):
        return "wrong-length", []
    if not all(map(math.isfinite, values)):
        return "not-finite", []
    outside = abs(sum(values) - 1) > SUM_TOLERANCE if exclusive else max(values) > 1
    if min(values) < 0 or outside:
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


def finding_parts(scores: Sequence[float], true: Sequence[float], findings: Sequence[str]) -> dict[str, float]:
    """Scores and truth by finding."""
    present = {f"{TRUTH}{name}": value for name, value in zip(findings, true, strict=True)}
    return class_parts(scores, findings) | present
