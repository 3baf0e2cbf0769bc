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


def tiers(overall: Sequence[float], low: Sequence[float], high: Sequence[float]) -> list[int]:
    """Tier of every run: a new one opens where all intervals from there on lie above that of the tier's best.

    So the best of a tier is apart from all later tiers; runs of one tier cannot be told apart with these test cases.
    """
    order = sorted(range(len(overall)), key=lambda i: (overall[i], high[i]))
    found, tier, leader = [0] * len(overall), 0, -1
    for position, i in enumerate(order):
        if leader < 0 or min(low[j] for j in order[position:]) > high[leader]:
            tier, leader = tier + 1, i
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
