"""What is lost where the head learned on other items than it is tested on: CuriaBench's "accuracy drop", CT to MRI."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from cairn.evaluate.intervals import resampled_interval
from cairn.evaluate.resampling import metric_values, resample_counts
from cairn.evaluate.tables import RunCases
from cairn.report.sources import Sources

Record = Mapping[str, Any]


def drops(sources: Sources) -> list[dict[str, Any]]:
    """Each task whose head learned on other items, beside the task of the same test items without that: lines of runs.

    A line holds the first metric of both, their difference, positive where something is lost, and its interval: both
    tasks are resampled by the same draws of the same cases. A run whose cases of the two differ has no line.
    """
    made = []
    for far, near in _pairs(sources):
        metric = near["metrics"][0]
        lines = [line for row in sources.rows if (line := _line(sources, row, far, near, metric)) is not None]
        if lines:
            made.append({"far": far, "near": near, "metric": metric, "lines": lines})
    return made


def _pairs(sources: Sources) -> Iterator[tuple[Record, Record]]:
    """Task with ``train_items``, and the one that differs from it in these alone."""
    board = {task["name"]: task for task in sources.tasks if task["name"] in sources.job.tasks}
    for name, far in board.items():
        for other, near in board.items():
            crossed, plain = sources.job.tasks[name], sources.job.tasks[other]
            if not crossed.frozen or not crossed.frozen.get("train_items") or not plain.frozen:
                continue
            same = all(crossed.frozen.get(key) == plain.frozen.get(key) for key in ("items", "input", "head"))
            alike = (crossed.kind, crossed.classes) == (plain.kind, plain.classes)
            if same and alike and not plain.frozen.get("train_items"):
                yield far, near


def _line(sources: Sources, row: Record, far: Record, near: Record, metric: Record) -> dict[str, Any] | None:
    run = row["run"]
    both = [sources.cases.get((run, task["name"])) for task in (near, far)]
    if both[0] is None or both[1] is None or not _same_cases(both[0], both[1]):
        return None
    values = [row["scores"][task["name"]]["metrics"][metric["name"]]["value"] for task in (near, far)]
    if None in values:
        return None
    sign = 1.0 if metric["higher_is_better"] else -1.0
    low, high = _interval(sources, both[0], both[1], near["name"], metric["name"], sign)
    return {
        "run": run, "label": row["label"], "near": values[0], "far": values[1],
        "drop": sign * (values[0] - values[1]), "low": low, "high": high,
        "key": f"drop/{run}/{far['name']}/{metric['name']}",
        "files": [path for task in (near, far) for path in sources.case_files(run, task["name"])],
    }  # fmt: skip


def _same_cases(a: RunCases, b: RunCases) -> bool:
    return (a.cohort, a.keys) == (b.cohort, b.keys) and np.array_equal(a.label, b.label)


def _interval(
    sources: Sources, near: RunCases, far: RunCases, task: str, metric: str, sign: float
) -> tuple[float | None, float | None]:  # fmt: skip
    """Of the difference of the means over seeds, as the leaderboard's differences between runs have it."""
    settings, seed = sources.board["evaluate"], sources.job.seed
    if not settings["resamples"]:
        return None, None
    counts = resample_counts(near.subjects, settings["resamples"], task, near.cohort, seed)
    means = [metric_values(metric, c, counts, settings["worst_error_years"]).mean(axis=0) for c in (near, far)]
    units = len(set(near.subjects))
    return resampled_interval(metric, sign * (means[0] - means[1]), units, settings["confidence"])
