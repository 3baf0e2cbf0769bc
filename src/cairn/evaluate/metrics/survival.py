"""Harrell's concordance of a risk with censored times, for one sample and for many weighted resamples of it at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
BLOCK = 2048  # resamples at a time: bounds the memory of large test sets


def concordance(times: npt.NDArray[Any], events: npt.NDArray[Any], risks: npt.NDArray[Any]) -> float | None:
    """Concordance index (Harrell et al. 1982, JAMA 247:2543): 0.5 is guessing, 1 is perfect.

    The share of comparable pairs in which the case that fails first has the higher risk; equal risks count half. A pair
    is comparable where the event of one is seen and the other is still at risk: its time is later, or equal and
    censored.

    Args:
        times: ``[n]``, to the event or to the end of observation.
        events: ``[n]``, 1 where the event was seen, 0 where the case was censored.
        risks: ``[n]``, higher fails earlier; NaN, no prediction, loses all its pairs.

    Returns:
        The index, or None where no pair is comparable.
    """
    value = concordance_resampled(times, events, risks, np.ones((1, len(times)), np.int64))[0]
    return None if np.isnan(value) else float(value)


def concordance_resampled(
    times: npt.NDArray[Any], events: npt.NDArray[Any], risks: npt.NDArray[Any], counts: npt.NDArray[Any]
) -> Floats:
    """`concordance` of each of many resamples, ``[R]``; NaN where no pair is comparable.

    A case that is drawn twice makes no pair with itself. Pairs are counted twice, ties once: all sums are of whole
    numbers, so that the result is exact.

    Args:
        times: ``[n]``.
        events: ``[n]``.
        risks: ``[n]``.
        counts: ``[R, n]``, how often each case stands in each resample.
    """
    pairs = comparable(times, events).astype(np.float64)
    won = pairs * ordered(risks, risks)
    found = np.full(len(counts), np.nan)
    for start in range(0, len(counts), BLOCK):
        weights = np.asarray(counts[start : start + BLOCK], np.float64)
        total = 2.0 * np.einsum("ij,ij->i", weights @ pairs, weights)
        score = np.einsum("ij,ij->i", weights @ won, weights)
        found[start : start + BLOCK] = np.where(total > 0, score / np.maximum(total, 1.0), np.nan)
    return found


def comparable(times: npt.NDArray[Any], events: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """``[n, n]``: the event of the row's case is seen while the column's is at risk."""
    t, seen = np.asarray(times, float), np.asarray(events) == 1
    later = (t[:, None] < t[None]) | ((t[:, None] == t[None]) & ~seen[None])
    return np.asarray(seen[:, None] & later)


def ordered(first: Floats, second: Floats) -> Floats:
    """``[n, m]``: 2 where the row's risk is above the column's, 1 where they are equal, 0 also where one is NaN."""
    a, b = np.asarray(first, float)[:, None], np.asarray(second, float)[None]
    return np.asarray(2.0 * (a > b) + (a == b))


def disjoint_pairs(times: npt.NDArray[Any], events: npt.NDArray[Any]) -> int:
    """How many comparable pairs without a case in common there are: what is independent behind an index.

    The earliest events are matched with the latest cases, which no other matching of as many events beats.
    """
    pairs = comparable(times, events)
    order = np.lexsort((np.asarray(events) != 1, np.asarray(times, float)))  # of equal times the event first
    seen = [i for i in order if events[i] == 1]
    for count in range(min(len(seen), len(order) // 2), 0, -1):
        first = seen[:count]
        rest = [i for i in order if i not in set(first)][-count:]
        if all(pairs[i, j] for i, j in zip(first, rest, strict=True)):
            return count
    return 0
