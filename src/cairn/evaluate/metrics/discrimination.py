"""Area under the ROC curve, for one sample and for many weighted resamples of it at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
BLOCK = 1024  # resamples at a time: what they need fits the cache


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


def auroc_resampled(labels: npt.NDArray[Any], scores: npt.NDArray[Any], counts: npt.NDArray[Any]) -> Floats:
    """AUROC of each of many resamples, ``[R]``; NaN where a resample holds one class only.

    Every positive meets the negatives below it, twice, and those equal to it, once: in each resample a difference of
    running sums over the sorted negatives. All sums are of whole numbers, so that the result is exact.

    Args:
        labels: ``[n]`` of 0 and 1.
        scores: ``[n]``, finite.
        counts: ``[R, n]``, how often each case stands in each resample.
    """
    labels, scores = np.asarray(labels), np.asarray(scores, float)
    high, low = np.flatnonzero(labels == 1), np.flatnonzero(labels != 1)
    low = low[np.argsort(scores[low], kind="stable")]
    first, last = (np.searchsorted(scores[low], scores[high], side=side) for side in ("left", "right"))
    found = np.full(len(counts), np.nan)
    for start in range(0, len(counts), BLOCK):
        weights = np.ascontiguousarray(counts[start : start + BLOCK].T, np.float64)
        below = np.zeros((len(low) + 1, weights.shape[1]))
        for i, case in enumerate(low):  # np.cumsum along the first axis takes ten times as long
            np.add(below[i], weights[case], out=below[i + 1])
        met = below[first]
        met += below[last]
        ups = weights[high]
        pairs = ups.sum(axis=0) * below[-1]
        ratio = np.einsum("ij,ij->j", ups, met) / np.maximum(2 * pairs, 1)
        found[start : start + BLOCK] = np.where(pairs > 0, ratio, np.nan)
    return found
