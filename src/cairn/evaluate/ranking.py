"""Ranks as FOMO25 makes them: per metric with shared places, mean over a task's metrics, mean over tasks.

Everything works on arrays ``[B, runs]``, where B is 1 for the leaderboard and the number of resamples for intervals.
The rule reproduces every cell of FOMO25's published tables (tests/unit/evaluate/test_ranking.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.config.evaluate import Metric

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
HALF = 1e-6  # a last digit this near to a half is rounded with care


def printed(values: Floats, decimals: int) -> Floats:
    """Values as `f"{value:.{decimals}f}"` prints them.

    `np.round` scales first, which makes a tie of 0.7005 and so prints another digit; where that may be, Python rounds.
    """
    scaled = values * 10.0**decimals
    found = np.round(values, decimals)
    doubtful = np.abs(scaled - np.floor(scaled) - 0.5) < HALF
    found[doubtful] = [round(float(v), decimals) for v in values[doubtful]]
    return found


def oriented(values: Floats, metric: Metric) -> Floats:
    """Values on the printed precision, higher is better; what is undefined ranks below the worst."""
    rounded = printed(values, metric.decimals)
    signed = rounded if metric.higher_is_better else -rounded
    return np.where(np.isnan(values), -np.inf, signed)


def metric_ranks(values: Floats, metric: Metric) -> Floats:
    """Competition ranks: one more than the number of strictly better runs, so that equals share the smaller rank.

    Args:
        values: ``[B, runs]``, NaN where undefined.
        metric: gives direction and precision.
    """
    cost = -oriented(values, metric)
    order = np.argsort(cost, axis=1)
    ordered = np.take_along_axis(cost, order, axis=1)
    opens = np.ones(cost.shape, bool)  # where a value differs from the one before it, a new rank opens
    opens[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    ranks = np.empty(cost.shape)
    steps = np.maximum.accumulate(np.where(opens, np.arange(cost.shape[1]), 0), axis=1)
    np.put_along_axis(ranks, order, 1.0 + steps, axis=1)
    return ranks


def task_ranks(values: Mapping[str, Floats], metrics: Sequence[Metric], entered: Bools) -> Floats:
    """Mean of a task's metric ranks, ``[B, runs]``; whoever did not enter gets the number of entries plus one.

    Args:
        values: per metric ``[B, runs]``.
        metrics: the task's metrics.
        entered: ``[runs]``, who has results on this task.
    """
    found = np.full(next(iter(values.values())).shape, float(entered.sum()) + 1.0)
    if entered.any():
        ranks = [metric_ranks(values[m.name][:, entered], m) for m in metrics]
        found[:, entered] = np.mean(ranks, axis=0)
    return found


def places(overall: Sequence[float]) -> list[int]:
    """Place of every run by its overall rank; equal ranks share a place."""
    rounded = [round(v, 6) for v in overall]
    return [1 + sum(other < own for other in rounded) for own in rounded]


def tiers(place: Sequence[int], apart: Sequence[Sequence[bool]]) -> list[int]:
    """Tier of every run: going down the places, a new one opens at a run that differs from the tier's first.

    FOMO25 builds its tiers from pairwise permutation tests, but its exact rule is not published: this one is ours.
    Runs that share a place share a tier, and open one only where each differs from each of the tier's first. Within a
    tier nobody is told from its first; of runs further apart in the table the tiers alone say nothing.

    Args:
        place: of every run, ``[runs]``.
        apart: ``[runs, runs]``, whether a run is significantly better than another
            (`cairn.evaluate.comparison.separated`).
    """
    found, tier, first = [0] * len(place), 0, list[int]()
    for own in sorted(set(place)):
        here = [i for i, at in enumerate(place) if at == own]
        if not first or all(apart[i][j] for i in first for j in here):
            tier, first = tier + 1, here
        for i in here:
            found[i] = tier
    return found


def first_share(overall: Floats) -> list[float]:
    """Share of resamples in which each run ranks first, ``[runs]``; runs that tie share the resample."""
    best = np.isclose(overall, overall.min(axis=1, keepdims=True), atol=1e-9)
    return [float(v) for v in (best / best.sum(axis=1, keepdims=True)).mean(axis=0)]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction for several tests."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    found: list[Any] = [0.0] * len(p_values)
    running = 0.0
    for position, i in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - position) * p_values[i]))
        found[i] = running
    return found
