"""How stable the ranking is: places under new draws of test cases, Kendall's tau, and other ways to rank.

What challengeR draws of a challenge (Wiesenfarth et al. 2021, Scientific Reports 11:2369), as plain data. The pairwise
tests behind its significance map stand in ``leaderboard.json``.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.config.evaluate import LeaderboardJob, Metric
from cairn.evaluate.board import TaskBoard, boards_of
from cairn.evaluate.intervals import MEANS, percentile_interval
from cairn.evaluate.ranking import oriented
from cairn.evaluate.resampling import case_values

Floats = npt.NDArray[np.float64]
Row = dict[str, Any]
TAU_EDGES = np.linspace(-1.0, 1.0, 42)  # 41 bins: one of them is centred on 0
METHODS = (
    ("mean, then rank; ties share the better rank", False, "min"),
    ("mean, then rank; ties share the mean rank", False, "average"),
    ("rank cases, then mean; better rank", True, "min"),
    ("rank cases, then mean; mean rank", True, "average"),
)
"""Name, whether each case ranks the runs before the mean is taken, and how equals share ranks. The first is ours."""


def stability(
    job: LeaderboardJob, boards: Sequence[TaskBoard], ranks: Mapping[str, tuple[Sequence[Floats], Sequence[Floats]]]
) -> Row:
    """Everything about the stability of the ranks of each track with at least two ranked runs.

    Args:
        job: configuration.
        boards: all runs on every task.
        ranks: by track, of its ranked runs, task by task of the track: ranks ``[1, runs]``, and of all resamples
            ``[R, runs]`` (no arrays where nothing was resampled).
    """
    tracks = {}
    for track, (point, spread) in ranks.items():
        runs = [r.run for r in job.runs if r.track == track and r.ranked]
        own = boards_of(job, boards, track)
        if len(runs) < 2 or not own:
            continue
        panels = [("overall", np.mean(point, axis=0), np.mean(spread, axis=0) if spread else None)]
        panels += [(b.task.name, point[t], spread[t] if spread else None) for t, b in enumerate(own)]
        tracks[track] = {
            "runs": runs,
            "panels": [{"name": n, **_panel(runs, full, drawn, job.evaluate.confidence)} for n, full, drawn in panels],
            "methods": _methods(runs, own),
        }
    return {"resamples": job.evaluate.resamples, "confidence": job.evaluate.confidence, "tracks": tracks}


def _panel(runs: Sequence[str], full: Floats, drawn: Floats | None, confidence: float) -> Row:
    """Places of every run on all cases and in the resamples, and how resampled rankings agree with the full one."""
    place = shared(full, "min")[0]
    if drawn is None:
        return {"places": {run: {"full": int(place[i])} for i, run in enumerate(runs)}, "tau": None}
    places = shared(drawn, "min")
    found = {}
    for i, run in enumerate(runs):
        low, high = percentile_interval(places[:, i], confidence)
        share = np.bincount(places[:, i].astype(int), minlength=len(runs) + 1)[1:] / len(places)
        found[run] = {
            "full": int(place[i]), "median": float(np.median(places[:, i])), "low": low, "high": high,
            "share": [float(v) for v in share],
        }  # fmt: skip
    return {"places": found, "tau": _tau(kendall_tau(drawn, full[0]), confidence)}


def _tau(values: Floats, confidence: float) -> Row | None:
    """Distribution of Kendall's tau; None where no resample has one."""
    defined = values[~np.isnan(values)]
    if len(defined) == 0:
        return None
    low, high = percentile_interval(defined, confidence)
    share = np.histogram(defined, TAU_EDGES)[0] / len(defined)
    return {"median": float(np.median(defined)), "low": low, "high": high, "share": [float(v) for v in share]}


def shared(ranks: Floats, ties: str) -> Floats:
    """Ranks ``[B, runs]`` of ranks (small is good), equals sharing the smallest (``min``) or the mean (``average``)."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(np.round(ranks, 6), method=ties, axis=1), float)


def kendall_tau(ranks: Floats, full: Floats) -> Floats:
    """Kendall's tau-b of each of many rankings with one, ``[B]``; NaN where either has but one rank.

    Args:
        ranks: ``[B, runs]``.
        full: ``[runs]``.
    """
    first, second = np.array(list(itertools.combinations(range(len(full)), 2))).T
    ranks, full = np.round(ranks, 6), np.round(full, 6)
    order = np.sign(ranks[:, first] - ranks[:, second])
    wanted = np.sign(full[first] - full[second])
    scale = np.sqrt(np.abs(order).sum(axis=1) * np.abs(wanted).sum())
    return np.where(scale > 0, order @ wanted / np.maximum(scale, 1.0), np.nan)


def _methods(runs: Sequence[str], boards: Sequence[TaskBoard]) -> Row:
    """Places, overall and by task, under every one of `METHODS`."""
    places: dict[str, dict[str, list[int]]] = {}
    for _, by_case, ties in METHODS:
        tasks = {b.task.name: _task_ranks(b, runs, by_case, ties) for b in boards}
        for name, ranks in {"overall": np.mean(list(tasks.values()), axis=0), **tasks}.items():
            for run, place in zip(runs, shared(ranks[None], "min")[0], strict=True):
                places.setdefault(name, {}).setdefault(run, []).append(int(place))
    return {"names": [name for name, _, _ in METHODS], "places": places}


def _task_ranks(board: TaskBoard, runs: Sequence[str], by_case: bool, ties: str) -> Floats:
    """Mean of the metrics' ranks, ``[runs]``; whoever did not enter ranks one behind the entries."""
    entered = board.entered(runs)
    found = np.full(len(runs), float(entered.sum()) + 1.0)
    names = [run for run in runs if run in board.cases]
    if names:
        found[entered] = np.mean([_metric_ranks(board, names, m, by_case, ties) for m in board.metrics], axis=0)
    return found


def _metric_ranks(board: TaskBoard, runs: Sequence[str], metric: Metric, by_case: bool, ties: str) -> Floats:
    """Ranks ``[runs]`` in one metric. AUROC and Pearson r have no value a case: they rank by their value always."""
    if not by_case or metric.name not in MEANS:
        return np.asarray(shared(-oriented(board.values(runs, metric.name), metric), ties)[0])
    cap = board.config.worst_error_years
    values = np.stack([case_values(metric.name, board.cases[run], cap).mean(axis=0) for run in runs], axis=1)
    by_mean = shared(-oriented(values, metric), ties).mean(axis=0, keepdims=True)
    return np.asarray(shared(by_mean, ties)[0])
