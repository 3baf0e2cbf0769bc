"""What the leaderboard is made of: cases and scores of every run and task, checked, with their paired resamples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.config.evaluate import EvaluateConfig, LeaderboardJob, Metric, TaskRef
from cairn.errors import CairnError
from cairn.evaluate.resampling import metric_values, resample_counts
from cairn.evaluate.tables import SEED_MEAN, RunCases, read_cases, read_scores

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TaskBoard:
    """All runs on one task."""

    task: TaskRef
    metrics: tuple[Metric, ...]
    cases: Mapping[str, RunCases]
    """Cases of every run that has results."""
    scores: Mapping[tuple[str, str, int], Mapping[str, Any]]
    """Row of ``scores.parquet`` by run, metric and seed."""
    config: EvaluateConfig
    seed: int

    @cached_property
    def counts(self) -> npt.NDArray[np.int64]:
        """Resamples of this task's test cases, ``[R, cases]``, the same for every run."""
        first = next(iter(self.cases.values()))
        return resample_counts(first.subjects, self.config.resamples, self.task.name, first.cohort, self.seed)

    @cached_property
    def _spread(self) -> dict[tuple[str, str], Floats]:
        return {
            (run, m.name): metric_values(m.name, cases, self.counts, self.config.worst_error_years).mean(axis=0)
            for run, cases in self.cases.items()
            for m in self.metrics
        }

    @property
    def subjects(self) -> int:
        """How many subjects the resamples are drawn from."""
        return len(set(next(iter(self.cases.values())).subjects)) if self.cases else 0

    def value(self, run: str, metric: str, seed: int = SEED_MEAN) -> float | None:
        """Value of a metric, seed mean by default; None where undefined."""
        found = self.scores[run, metric, seed]["value"]
        return None if found is None else float(found)

    def values(self, runs: Sequence[str], metric: str) -> Floats:
        """``[1, runs]`` seed means; NaN where undefined or not entered."""
        given = [self.value(r, metric) if r in self.cases else None for r in runs]
        return np.array([[np.nan if v is None else v for v in given]])

    def resampled(self, runs: Sequence[str], metric: str) -> Floats:
        """``[R, runs]`` seed means in every resample; NaN where undefined or not entered."""
        absent = np.full(self.config.resamples, np.nan)
        return np.stack([self._spread.get((r, metric), absent) for r in runs], axis=1)

    def entered(self, runs: Sequence[str]) -> npt.NDArray[np.bool_]:
        """``[runs]``: who has results on this task."""
        return np.array([r in self.cases for r in runs])


def read_board(job: LeaderboardJob, cases: Sequence[Path], scores: Sequence[Path]) -> list[TaskBoard]:
    """Read all cases and scores; ``cases[i]`` belongs to ``scores[i]``. A run without files did not enter the task.

    Raises:
        CairnError: for a file of an unknown run or of a task that its track does not hold, a run given twice, runs
            scored on different test cases or under other settings, and files that do not pair up.
    """
    if len(cases) != len(scores):
        raise CairnError(f"{len(cases)} tables of cases, {len(scores)} of scores.", "Give them in pairs.", "scores")
    known = {r.run: r for r in job.runs}
    found: dict[str, dict[str, RunCases]] = {name: {} for name in job.tasks}
    rows: dict[str, dict[tuple[str, str, int], Mapping[str, Any]]] = {name: {} for name in job.tasks}
    for case_path, score_path in zip(cases, scores, strict=True):
        table = read_scores(score_path)
        run, task = _identity(table, score_path)
        if run not in known or task not in job.tasks_of(known[run].track):
            raise CairnError(f"{score_path}: run '{run}' on task '{task}' is not configured.", "Remove it.", "scores")
        if run in found[task]:
            raise CairnError(f"{score_path}: run '{run}' is given twice for task '{task}'.", "Give it once.", "scores")
        found[task][run] = read_cases(case_path)
        rows[task] |= {(run, r["metric"], r["seed"]): r for r in table}
        _check_pair(found[task][run], rows[task], run, job.evaluate.of_kind(job.tasks[task].kind), score_path)
    boards = []
    for name, ref in job.tasks.items():
        _check_same_cases(name, found[name])
        ordered = {r.run: found[name][r.run] for r in job.runs if r.run in found[name]}
        boards.append(TaskBoard(ref, job.evaluate.of_kind(ref.kind), ordered, rows[name], job.evaluate, job.seed))
    return boards


def boards_of(job: LeaderboardJob, boards: Sequence[TaskBoard], track: str) -> list[TaskBoard]:
    """The tasks that runs of a track are ranked on."""
    own = job.tasks_of(track)
    return [board for board in boards if board.task.name in own]


def _identity(table: Sequence[Mapping[str, Any]], path: Path) -> tuple[str, str]:
    named = {(str(r["run"]), str(r["task"])) for r in table}
    if len(named) != 1:
        raise CairnError(f"{path}: holds the scores of {len(named)} runs and tasks.", "One file, one run.", "scores")
    return named.pop()


def _check_pair(
    cases: RunCases, rows: Mapping[tuple[str, str, int], Any], run: str, metrics: Sequence[Metric], path: Path
) -> None:
    """The scores are those of these cases: the same seeds, metrics and number of cases."""
    for metric in metrics:
        for seed in (*cases.seeds, SEED_MEAN):
            row = rows.get((run, metric.name, seed))
            if row is None or row["n"] != len(cases.keys) or row["cohort"] != cases.cohort:
                raise CairnError(
                    f"{path}: no {metric.title} of seed {seed} that fits the table of cases.",
                    "Run evaluate again.", "scores",
                )  # fmt: skip


def _check_same_cases(task: str, runs: Mapping[str, RunCases]) -> None:
    tables = list(runs.items())
    for run, cases in tables[1:]:
        name, first = tables[0]
        same = cases.keys == first.keys and cases.cohort == first.cohort
        if not same or not np.array_equal(cases.truth, first.truth, equal_nan=True):
            raise CairnError(
                f"Task '{task}': runs '{name}' and '{run}' were scored on different test cases.",
                "Evaluate both with the same labels.", "cases",
            )  # fmt: skip
