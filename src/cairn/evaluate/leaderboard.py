"""The leaderboard: values, ranks and tiers with intervals, comparisons of runs; as CSV and JSON.

Numbers are written with six decimals, so that equal scores give equal bytes on any machine.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.config.evaluate import EvaluateConfig, LeaderboardJob
from cairn.config.runs import Run
from cairn.evaluate.board import TaskBoard, boards_of, read_board
from cairn.evaluate.cases import OK
from cairn.evaluate.comparison import CLAIM_SEEDS, compare_all, pretraining_effect, separated
from cairn.evaluate.intervals import percentile_interval
from cairn.evaluate.ranking import first_share, places, task_ranks, tiers
from cairn.evaluate.stability import stability
from cairn.evaluate.tables import SEED_MEAN
from cairn.io.atomic import write_json, write_text

Floats = npt.NDArray[np.float64]
Row = dict[str, Any]
Ranks = tuple[list[Floats], list[Floats]]
DECIMALS = 6


def leaderboard(
    job: LeaderboardJob, cases: Sequence[Path], scores: Sequence[Path], table: Path, data: Path, stable: Path
) -> Row:
    """Rank all runs and write ``leaderboard.csv``, ``leaderboard.json`` and ``stability.json``.

    Args:
        job: configuration.
        cases: ``cases.tsv`` of every run and task.
        scores: ``scores.parquet`` in the same order.
        table: where the CSV goes.
        data: where the JSON goes.
        stable: where the JSON goes that says how stable the ranks are.

    Returns:
        Facts for the card.

    Raises:
        CairnError: see `cairn.evaluate.board.read_board`.
    """
    boards = read_board(job, cases, scores)
    ranks = {
        track: rank_arrays(ranked_runs(job, track), boards_of(job, boards, track), job.evaluate)
        for track in dict.fromkeys(r.track for r in job.runs)
    }
    found = six_decimals(build(job, boards, ranks))
    write_json(data, found)
    write_text(table, as_csv(found))
    write_json(stable, six_decimals(stability(job, boards, ranks)))
    return {"separable": found["separable"]}


def build(job: LeaderboardJob, boards: Sequence[TaskBoard], ranks: Mapping[str, Ranks]) -> Row:
    """Everything the leaderboard says, as plain data; ``rows`` in the order of the table, ``ranks`` by track.

    A run has ranks on the tasks of its track alone.
    """
    rows: list[Row] = []
    separable = {}
    pairs = compare_all(boards, job.evaluate)
    for track in dict.fromkeys(r.track for r in job.runs):
        runs = [r for r in job.runs if r.track == track]
        own = boards_of(job, boards, track)
        competing = [r.run for r in runs if r.ranked]
        won = separated(pairs, competing, own, job.evaluate.significance)
        ranked = ranked_rows(competing, own, job.evaluate, *ranks[track], won)
        separable[track] = _separable(ranked, own, won)
        rows += sorted(
            (_row(r, boards, ranked.get(r.run)) for r in runs),
            key=lambda r: (r["place"] is None, r["place"] or 0, [x.run for x in job.runs].index(r["run"])),
        )
    return {
        "experiment": job.experiment,
        "evaluate": job.evaluate.model_dump(mode="json"),
        "tasks": [_task(b) for b in boards],
        "rows": rows,
        "separable": separable,
        "pairs": pairs,
        "pretraining": pretraining_effect(pairs, job.runs, boards),
    }


def ranked_runs(job: LeaderboardJob, track: str) -> list[str]:
    """Runs that compete in a track."""
    return [r.run for r in job.runs if r.track == track and r.ranked]


def rank_arrays(runs: Sequence[str], boards: Sequence[TaskBoard], config: EvaluateConfig) -> Ranks:
    """Ranks of the runs that compete with each other, task by task: ``[1, runs]``, and of all resamples ``[R, runs]``.

    The second list is empty where nothing is resampled.
    """
    point, spread = [], []
    for board in boards:
        names: list[str] = [m.name for m in board.metrics]
        entered = board.entered(runs)
        point.append(task_ranks({n: board.values(runs, n) for n in names}, board.metrics, entered))
        if config.resamples and runs:
            resampled = {n: board.resampled(runs, n) for n in names}
            spread.append(task_ranks(resampled, board.metrics, entered))
    return point, spread


def ranked_rows(
    runs: Sequence[str], boards: Sequence[TaskBoard], config: EvaluateConfig, point: Sequence[Floats],
    spread: Sequence[Floats], won: Collection[tuple[str, str]],
) -> dict[str, Row]:  # fmt: skip
    """Place, tier, overall rank and task ranks with intervals of each run, from what `rank_arrays` gives.

    Args:
        runs: those that compete.
        boards: tasks that they compete on.
        config: resamples and confidence.
        point: ranks by task, ``[1, runs]``.
        spread: the same in every resample, ``[R, runs]``; empty without resamples.
        won: pairs (better, worse) that are told apart, from `cairn.evaluate.comparison.separated`.
    """
    if not runs or not boards:
        return {}
    overall = np.mean(point, axis=0)[0]
    resampled_overall = np.mean(spread, axis=0) if spread else overall[None]
    bounds = [_bounds(resampled_overall[:, i], config) for i in range(len(runs))]
    place = places(list(overall))
    tier = tiers(place, [[(a, b) in won for b in runs] for a in runs])
    share = first_share(resampled_overall)
    return {
        run: {
            "place": place[i], "tier": tier[i], "first_share": share[i],
            "overall": {"value": overall[i], "low": bounds[i][0], "high": bounds[i][1]},
            "ranks": {
                b.task.name: {"value": point[t][0, i], **_named(spread[t][:, i] if spread else point[t][:, i], config)}
                for t, b in enumerate(boards)
            },
        }
        for i, run in enumerate(runs)
    }  # fmt: skip


def _bounds(values: Floats, config: EvaluateConfig) -> tuple[float, float]:
    low, high = percentile_interval(values, config.confidence)
    assert low is not None, "a rank is always defined"
    assert high is not None
    return low, high


def _named(values: Floats, config: EvaluateConfig) -> Row:
    low, high = _bounds(values, config)
    return {"low": low, "high": high}


def _separable(ranked: Mapping[str, Row], boards: Sequence[TaskBoard], won: Collection[tuple[str, str]]) -> Row:
    """Whether a winner may be named: where the first is told apart from every other run, with three seeds behind each.

    ``together`` are the runs of place 1, and all that are not told apart from one of them.
    """
    leaders = [run for run, row in ranked.items() if row["place"] == 1]
    others = [run for run in ranked if run not in leaders]
    untold = [run for run in others if any((leader, run) not in won for leader in leaders)]
    seeds = [len(b.cases[run].seeds) for b in boards for run in ranked if run in b.cases]
    enough = bool(seeds) and min(seeds) >= CLAIM_SEEDS
    winner = leaders[0] if len(leaders) == 1 and others and not untold and enough else None
    return {"winner": winner, "together": [*leaders, *untold], "enough_seeds": enough}


def _row(run: Run, boards: Sequence[TaskBoard], ranked: Row | None) -> Row:
    empty: Row = {"place": None, "tier": None, "first_share": None, "overall": None, "ranks": {}}
    scores = {b.task.name: _scores(run.run, b) for b in boards if run.run in b.cases}
    named = {"run": run.run, "label": run.label, "track": run.track, "method": run.method, "ranked": run.ranked}
    return named | (ranked or empty) | {"scores": scores}


def _scores(run: str, board: TaskBoard) -> Row:
    """Metrics of a run on a task: seed mean with interval, each seed, and what was invalid."""
    cases = board.cases[run]
    found: Row = {}
    for metric in board.metrics:
        row = board.scores[run, metric.name, -1]
        found[metric.name] = {
            "value": row["value"], "low": row["ci_low"], "high": row["ci_high"],
            "seeds": {str(s): board.value(run, metric.name, s) for s in cases.seeds},
        }  # fmt: skip
    invalid = sum(status != OK for row in cases.status for status in row)
    beside = {"classes": _beside(run, board, "_"), "fairness": _beside(run, board, "@")}
    return {
        "metrics": found, "invalid": invalid, "predictions": len(cases.seeds) * len(cases.keys),
        **{name: rows for name, rows in beside.items() if rows},
    }  # fmt: skip


def _beside(run: str, board: TaskBoard, mark: str) -> Row:
    """Numbers that rank nothing, by metric: of single classes (``dice_nerve``), or of groups (``auroc@sex=F``)."""
    found: Row = {}
    for metric in (m.name for m in board.metrics):
        for (owner, name, seed), row in board.scores.items():
            if owner == run and seed == SEED_MEAN and name.startswith(metric + mark):
                value = {"value": row["value"], "low": row["ci_low"], "high": row["ci_high"], "n": row["n"]}
                found.setdefault(metric, {})[name.removeprefix(metric + mark)] = value
    return found


def _task(board: TaskBoard) -> Row:
    first = next(iter(board.cases.values()), None)
    return {
        "name": board.task.name, "kind": board.task.kind, "title": board.task.heading,
        "metrics": [m.model_dump(mode="json") for m in board.metrics],
        "cohort": first.cohort if first else None,
        "cases": len(first.keys) if first else 0,
        "subjects": board.subjects,
        "positives": int((first.label == 1).sum()) if first and board.task.kind == "classification" else None,
    }  # fmt: skip


def six_decimals(data: Any) -> Any:
    """Plain data with floats of six decimals, without a negative zero."""
    if isinstance(data, Mapping):
        return {k: six_decimals(v) for k, v in data.items()}
    if isinstance(data, list | tuple):
        return [six_decimals(v) for v in data]
    if isinstance(data, float | np.floating):
        return None if np.isnan(data) else round(float(data), DECIMALS) + 0.0
    return int(data) if isinstance(data, np.integer) else data


def as_csv(data: Row) -> str:
    """One row a run; what does not apply is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    header = ["place", "tier", "run", "label", "track", "overall_rank", "overall_rank_low", "overall_rank_high"]
    for task in data["tasks"]:
        header += [f"{task['name']}_rank{end}" for end in ("", "_low", "_high")]
        header += [f"{task['name']}_{m['name']}{end}" for m in task["metrics"] for end in ("", "_low", "_high")]
    writer.writerow(header)
    for row in data["rows"]:
        cells = [row[c] for c in ("place", "tier", "run", "label", "track")] + _triple(row["overall"])
        for task in data["tasks"]:
            cells += _triple(row["ranks"].get(task["name"]))
            metrics = row["scores"].get(task["name"], {}).get("metrics", {})
            for metric in task["metrics"]:
                cells += _triple(metrics.get(metric["name"]))
        writer.writerow(["" if c is None else f"{c:.{DECIMALS}f}" if isinstance(c, float) else c for c in cells])
    return out.getvalue()


def _triple(value: Mapping[str, Any] | None) -> list[Any]:
    return [None, None, None] if value is None else [value["value"], value["low"], value["high"]]
