"""Area under the ROC curve, for one sample and for many weighted resamples of it at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def auroc(labels: npt.NDArray[Any], scores: npt.NDArray[Any]) -> float | None:
    """Area under the ROC curve: chance that a positive scores above a negative, ties counting half (Mann-Whitney).

    Args:
        labels: ``[n]`` of 0 and 1.
        scores: ``[n]``, finite.

    Returns:
        The area, or None where only one class is present: it is undefined then, not 0.5.
    """
    value = auroc_resampled(labels, scores, np.ones((1, len(labels)), np.int64))[0]
    return None if np.isnan(value) else float(value)


def auroc_resampled(labels: npt.NDArray[Any], scores: npt.NDArray[Any], counts: npt.NDArray[np.int64]) -> Floats:
    """AUROC of each of many resamples, ``[R]``; NaN where a resample holds one class only.

    Sorts once and works in integers, so that the result is exact.

    Args:
        labels: ``[n]`` of 0 and 1.
        scores: ``[n]``, finite.
        counts: ``[R, n]``, how often each case stands in each resample.
    """
    labels, scores = np.asarray(labels), np.asarray(scores, float)
    if len(labels) == 0:
        return np.full(len(counts), np.nan)
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf) > 0)
    ordered = counts[:, order]
    positive = labels[order] == 1
    above = np.add.reduceat(np.where(positive, ordered, 0), starts, axis=1)
    below = np.add.reduceat(np.where(positive, 0, ordered), starts, axis=1)
    twice = (above * (2 * np.cumsum(below, axis=1) - below)).sum(axis=1)
    pairs = above.sum(axis=1) * below.sum(axis=1)
    return np.where(pairs > 0, twice / np.maximum(2 * pairs, 1), np.nan)
