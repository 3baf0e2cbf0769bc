"""Run against run: difference with interval and p-value, and from these whether pretraining helped."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from cairn.config.evaluate import EvaluateConfig, Metric
from cairn.config.runs import Run
from cairn.evaluate.board import TaskBoard
from cairn.evaluate.intervals import Interval, resampled_interval
from cairn.evaluate.permutation import paired_p_values
from cairn.evaluate.ranking import holm

Row = dict[str, Any]
CLAIM_SEEDS = 3  # a claim needs at least three repetitions of either run


def compare_all(boards: Sequence[TaskBoard], config: EvaluateConfig) -> list[Row]:
    """Every run against every other on every task and metric; p-values are Holm-corrected within a task's metric."""
    rows = []
    for board in boards:
        runs = list(board.cases)
        pairs = [(i, j) for i in range(len(runs)) for j in range(i + 1, len(runs))]
        for metric in board.metrics:
            key = (board.seed, board.task.name, metric.name)
            p_values: list[float | None] = [None] * len(pairs)
            if config.permutations:
                p_values = paired_p_values(
                    metric.name, list(board.cases.values()), pairs, config.permutations, key, config.worst_error_years
                )
            found = [_difference(board, metric, runs[i], runs[j]) for i, j in pairs]
            rows += _corrected([row | {"p": p} for row, p in zip(found, p_values, strict=True)])
    return rows


def _corrected(rows: list[Row]) -> list[Row]:
    """Add ``p_holm`` over all rows that have a p-value."""
    tested = [r for r in rows if r["p"] is not None]
    corrected = dict(zip(map(id, tested), holm([r["p"] for r in tested]), strict=True))
    return [r | {"p_holm": corrected.get(id(r))} for r in rows]


def separated(
    rows: Sequence[Row], runs: Collection[str], boards: Sequence[TaskBoard], significance: float
) -> set[tuple[str, str]]:
    """Pairs ``(better, worse)`` of runs that compete with each other and that the permutation tests tell apart.

    A run is better where it is significantly so on at least one metric of one task, and significantly worse on none.
    The tests are of single metrics, as the reference's are (no test of the overall rank is described), so the Holm
    correction here spans all of them: every pair of these runs, on every metric of their tasks. Whoever did not enter
    a task is worse there than all who did, as the rank rule has it. Without permutations nobody else is told apart.

    Args:
        rows: from `compare_all`.
        runs: those that compete.
        boards: tasks that they compete on.
        significance: a corrected p-value below this counts as a difference.
    """
    names = {board.task.name for board in boards}
    asked = [r for r in rows if r["task"] in names and r["a"] in runs and r["b"] in runs]
    won = {(a, b) for board in boards for a in runs for b in runs if a in board.cases and b not in board.cases}
    for row in _corrected(asked):
        if row["p_holm"] is not None and row["p_holm"] < significance and row["difference"]:
            won.add((row["a"], row["b"]) if row["difference"] > 0 else (row["b"], row["a"]))
    return {(a, b) for a, b in won if (b, a) not in won}


def _difference(board: TaskBoard, metric: Metric, a: str, b: str) -> Row:
    """Difference a − b of the seed means, oriented so that positive is better for a, with its bootstrap interval."""
    sign = 1.0 if metric.higher_is_better else -1.0
    first, second = board.value(a, metric.name), board.value(b, metric.name)
    undefined = first is None or second is None
    spread = board.resampled([a, b], metric.name)
    bounds: Interval = (None, None)
    if not undefined:
        resampled = sign * (spread[:, 0] - spread[:, 1])
        bounds = resampled_interval(metric.name, resampled, board.subjects, board.config.confidence)
    return {
        "task": board.task.name, "metric": metric.name, "a": a, "b": b,
        "difference": None if first is None or second is None else sign * (first - second),
        "low": bounds[0], "high": bounds[1],
        "seed_wins": _seed_wins(board, metric, a, b),
    }  # fmt: skip


def _seed_wins(board: TaskBoard, metric: Metric, a: str, b: str) -> float | None:
    """Share of pairs of seeds in which a beats b, ties counting half: what chance of training alone can turn round."""
    values = [[board.value(run, metric.name, s) for s in board.cases[run].seeds] for run in (a, b)]
    if any(v is None for row in values for v in row):
        return None
    sign = 1.0 if metric.higher_is_better else -1.0
    first, second = (sign * np.array(row, float) for row in values)
    return float(((first[:, None] > second) + 0.5 * (first[:, None] == second)).mean())


def pretraining_effect(rows: Sequence[Row], runs: Sequence[Run], boards: Sequence[TaskBoard]) -> list[Row]:
    """Each pretrained run against the same network and recipe from a random start, on every task and metric.

    The Holm correction spans all these comparisons. Each row gets a verdict: ``helped`` or ``hurt`` where the interval
    excludes 0, the corrected p-value is below the configured level and both runs have three seeds; else ``unclear``.
    """
    config = boards[0].config
    pairs = {
        (p.run, s.run)
        for p in runs if p.method == "pretrained"
        for s in runs if s.method == "scratch" and recipe_of(s) == recipe_of(p)
    }  # fmt: skip
    seeds = {(b.task.name, run): len(cases.seeds) for b in boards for run, cases in b.cases.items()}
    found = [r | {"p_holm": None} for r in rows if (r["a"], r["b"]) in pairs]
    found += [_reversed(r) for r in rows if (r["b"], r["a"]) in pairs]
    order = {name: i for i, name in enumerate(r.run for r in runs)}
    place = {(b.task.name, m.name): (i, j) for i, b in enumerate(boards) for j, m in enumerate(b.metrics)}
    found.sort(key=lambda r: (order[r["a"]], order[r["b"]], place[r["task"], r["metric"]]))
    return [r | {"verdict": _verdict(r, seeds, config)} for r in _corrected(found)]


def recipe_of(run: Run) -> tuple[object, ...]:
    """What two runs must share to differ in their start alone."""
    return run.network, run.train_on, run.finetune_mode, run.contract


def _reversed(row: Row) -> Row:
    negative = {k: None if row[k] is None else -row[k] for k in ("difference", "low", "high")}
    wins = None if row["seed_wins"] is None else 1.0 - row["seed_wins"]
    return row | {
        "a": row["b"], "b": row["a"], "difference": negative["difference"], "low": negative["high"],
        "high": negative["low"], "seed_wins": wins, "p_holm": None,
    }  # fmt: skip


def _verdict(row: Row, seeds: dict[tuple[str, str], int], config: EvaluateConfig) -> str:
    few = min(seeds[row["task"], row["a"]], seeds[row["task"], row["b"]]) < CLAIM_SEEDS
    if few or row["low"] is None or row["p_holm"] is None or row["p_holm"] >= config.significance:
        return "unclear"
    if row["low"] > 0:
        return "helped"
    return "hurt" if row["high"] < 0 else "unclear"
