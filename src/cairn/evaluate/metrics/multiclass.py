"""Macro AUROC (one against the rest) and macro F1, for one sample and for many weighted resamples of it at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.evaluate.metrics.discrimination import auroc_resampled

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]


def auroc_ovr(labels: Labels, scores_KN: Floats) -> float | None:
    """Mean over the classes of the AUROC of one class against the rest.

    A class that the sample lacks, or that is all of it, has no area and is left out (as in FOMO26's linear probe).

    Args:
        labels: ``[n]`` of classes 0 to K - 1.
        scores_KN: ``[K, n]``, the score of each class.

    Returns:
        The mean, or None where no class has an area.
    """
    value = auroc_ovr_resampled(labels, scores_KN, np.ones((1, len(labels)), np.int64))[0]
    return None if np.isnan(value) else float(value)


def auroc_ovr_resampled(labels: Labels, scores_KN: Floats, counts: npt.NDArray[np.int64]) -> Floats:
    """`auroc_ovr` of each of many resamples ``counts`` ``[R, n]``, ``[R]``; NaN where undefined."""
    areas = np.stack([auroc_resampled(labels == k, row, counts) for k, row in enumerate(scores_KN)])
    return mean_of_defined(areas)


def f1_macro(labels: Labels, predicted: Labels, classes: int) -> float | None:
    """Mean F1 of the classes that are true or predicted somewhere (scikit-learn's macro average); None without cases.

    Args:
        labels: ``[n]`` of classes 0 to K - 1.
        predicted: ``[n]`` likewise.
        classes: K.
    """
    value = f1_macro_resampled(labels, predicted, np.ones((1, len(labels)), np.int64), classes)[0]
    return None if np.isnan(value) else float(value)


def f1_macro_resampled(labels: Labels, predicted: Labels, counts: npt.NDArray[Any], classes: int) -> Floats:
    """`f1_macro` of each of many resamples ``counts`` ``[R, n]``, ``[R]``; NaN where undefined."""
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    found = []
    for k in range(classes):
        true, said = labels == k, predicted == k
        found.append(f1(counts @ (true & said), counts @ true, counts @ said))
    return mean_of_defined(np.stack(found))


def f1(hit: Any, true: Any, said: Any) -> Floats:
    """F1 from the numbers of hits, of true and of predicted members; NaN for a class that nobody named."""
    total = np.asarray(true, float) + np.asarray(said, float)
    return np.where(total > 0, 2.0 * np.asarray(hit, float) / np.where(total > 0, total, 1.0), np.nan)


def mean_of_defined(values_KR: Floats) -> Floats:
    """Mean over the first axis of what is not NaN; NaN where nothing is."""
    there = ~np.isnan(values_KR)
    count = there.sum(axis=0)
    total = np.where(there, values_KR, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
