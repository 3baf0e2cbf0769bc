"""FOMO25's three findings, asked of an experiment: does pretraining help, does the objective suit the task, do size and
duration matter? All from the scores of the test cases, with paired resamples; what the interval does not bear out is
``not shown``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.config.findings import FindingsJob
from cairn.config.runs import Run
from cairn.evaluate.board import TaskBoard, read_board
from cairn.evaluate.comparison import CLAIM_SEEDS, recipe_of
from cairn.evaluate.intervals import Interval, percentile_interval, resampled_interval
from cairn.evaluate.leaderboard import rank_arrays, six_decimals
from cairn.io.atomic import write_json

Floats = npt.NDArray[np.float64]
Row = dict[str, Any]
SETTINGS = {"finetune": "shifted", "indomain": "in-domain"}
"""Labels from another site than the test's, or from the same."""
CLAIM = {
    "classification": ("hybrid", "masked"), "segmentation": ("masked", "hybrid"), "regression": ("hybrid", "masked"),
}  # fmt: skip
"""Family that FOMO25 found better on a kind of task, and the one that it compares it with."""
NO_VALUE: Row = {"value": None, "low": None, "high": None}
LEAST_RUNS = 4
"""Fewer points have no rank correlation worth telling."""
LEAST_AMOUNTS = 3
"""Two sizes are a comparison, not a trend."""


def write_findings(job: FindingsJob, cases: Sequence[Path], scores: Sequence[Path], out: Path) -> Row:
    """Write ``findings.json``; returns facts for the card.

    Args:
        job: configuration.
        cases: ``cases.tsv`` of every run and task.
        scores: ``scores.parquet`` in the same order.
        out: where the JSON goes.

    Raises:
        CairnError: see `cairn.evaluate.board.read_board`.
    """
    from cairn.nets.registry import build_encoder
    from cairn.nets.size import count

    boards = read_board(job, cases, scores)
    sizes = {run: count(partial(build_encoder, network)) for run, network in job.networks.items()}
    found = six_decimals({
        "experiment": job.experiment, "confidence": job.evaluate.confidence,
        "tasks": [
            {"name": b.task.name, "title": b.task.heading, "metrics": [m.model_dump(mode="json") for m in b.metrics]}
            for b in boards
        ],
        "labels": {run.run: run.label for run in job.runs}, "pretraining": pretraining(job, boards),
        "families": families(job, boards), "scaling": scaling(job, boards, sizes),
    })  # fmt: skip
    write_json(out, found)
    return {"asked": {name: bool(found[name]) for name in ("pretraining", "families", "scaling")}}


def pretraining(job: FindingsJob, boards: Sequence[TaskBoard]) -> list[Row]:
    """Mean gain of the pretrained runs over the same network and recipe from a random start, by setting and task.

    One row a setting, task and metric: every pretrained run counts alike, each against its own twin.
    """
    rows = []
    for train_on, setting in SETTINGS.items():
        pairs = [(p.run, twin) for p in job.runs if p.train_on == train_on and (twin := twin_of(p, job.runs))]
        for board in boards:
            asked = competing(job, board)
            own = [pair for pair in pairs if set(pair) <= set(asked)]
            rows += [
                {"setting": setting, "pairs": [list(p) for p in own], **_gain(board, metric.name, own)}
                for metric in (board.metrics if own else ())
            ]
    return rows


def competing(job: FindingsJob, board: TaskBoard) -> list[str]:
    """Runs whose track holds a task."""
    return [r.run for r in job.runs if board.task.name in job.tasks_of(r.track)]


def twin_of(run: Run, runs: Sequence[Run]) -> str:
    """The run that differs from a pretrained one in its random start alone, of its own track where there is one there;
    empty where there is none.
    """
    if run.method != "pretrained":
        return ""
    same = [r for r in runs if r.method == "scratch" and recipe_of(r) == recipe_of(run)]
    return min(same, key=lambda r: r.track != run.track).run if same else ""


def _gain(board: TaskBoard, metric: str, pairs: Sequence[tuple[str, str]]) -> Row:
    sign = 1.0 if next(m for m in board.metrics if m.name == metric).higher_is_better else -1.0
    first, second = [a for a, _ in pairs], [b for _, b in pairs]  # who did not enter is NaN, and so is the gain
    once = sign * (board.values(first, metric) - board.values(second, metric)).mean(axis=1)
    spread = sign * (board.resampled(first, metric) - board.resampled(second, metric)).mean(axis=1)
    bounds = resampled_interval(metric, spread, board.subjects, board.config.confidence)
    return {"task": board.task.name, "metric": metric, **_told(float(once[0]), bounds, board, [*first, *second])}


def _told(value: float, bounds: Interval, board: TaskBoard, runs: Sequence[str]) -> Row:
    """A difference with its interval, and whether it is shown: the interval leaves 0 out, with three seeds a run."""
    if np.isnan(value):
        return {"value": None, "low": None, "high": None, "verdict": "not shown"}
    seeds = min(len(board.cases[run].seeds) for run in runs)
    return {"value": value, "low": bounds[0], "high": bounds[1], "verdict": _verdict(*bounds, seeds)}


def _verdict(low: float | None, high: float | None, seeds: int) -> str:
    if low is None or high is None or seeds < CLAIM_SEEDS or low <= 0 <= high:
        return "not shown"
    return "better" if low > 0 else "worse"


def compared(job: FindingsJob) -> list[str]:
    """Pretrained runs that differ in how they were pretrained: fully fine-tuned, on the shifted set."""
    full = (None, "full")
    return [r.run for r in job.runs if r.run in job.families and r.train_on == "finetune" and r.finetune_mode in full]


def alike(job: FindingsJob) -> list[str]:
    """Of the compared runs those that differ in their objective alone: one network, and as many samples of one set.

    A pool of all of them would tell a family's larger, shorter or data-poorer runs as a matter of its objective. Of
    several such groups the one that holds most families, then most runs, then the first in the runs table.
    """
    rows = {r.run: r for r in job.runs}
    groups: dict[tuple[object, ...], list[str]] = {}
    for run in compared(job):
        groups.setdefault((job.samples[run], *shared_of(rows[run]).values()), []).append(run)
    return max(groups.values(), key=lambda g: (len({job.families[r] for r in g}), len(g)), default=[])


def shared_of(run: Run) -> Row:
    """What runs share whose objectives are compared, beside the samples seen."""
    return {"network": run.network, "data_fraction": run.data_fraction, "pretrain_data": run.pretrain_data}


def families(job: FindingsJob, boards: Sequence[TaskBoard]) -> Row:
    """Mean rank of each family of objectives on each task, and whether the families that FOMO25 names differ as there.

    Ranks are among the runs of `alike` on a task, 1 is best; a family's is the mean of its runs'. Empty with one
    family; without a value where a family has no run on the task. ``shared`` is what those runs have in common.
    """
    runs = alike(job)
    names: list[str] = list(dict.fromkeys(job.families[run] for run in runs))
    if len(names) < 2:
        return {}
    found = [_by_family(job, board, runs, names) for board in boards]
    first = next(r for r in job.runs if r.run == runs[0])
    return {
        "shared": {**shared_of(first), "samples": job.samples[first.run]},
        "left_out": [run for run in compared(job) if run not in runs], "runs": len(runs),
        "members": {name: [run for run in runs if job.families[run] == name] for name in names},
        "tasks": [table for table, _ in found], "claims": [claim for _, claims in found for claim in claims],
    }  # fmt: skip


def _by_family(
    job: FindingsJob, board: TaskBoard, compared: Sequence[str], names: Sequence[str]
) -> tuple[Row, list[Row]]:
    """Mean rank of each family on one task, and FOMO25's claim about it where both its families are there."""
    runs = [run for run in compared if run in competing(job, board)]
    if not runs:
        return {"task": board.task.name, "ranks": dict.fromkeys(names, NO_VALUE)}, []
    (once,), (spread,) = ranks(runs, [board])
    member: dict[str, list[int]] = {
        name: [i for i, run in enumerate(runs) if job.families[run] == name] for name in names
    }
    table = {
        "task": board.task.name,
        "ranks": {
            name: _with_interval(once[places].mean(), spread[:, places].mean(axis=1), board) if places else NO_VALUE
            for name, places in member.items()
        },
    }
    pair = CLAIM.get(board.task.kind, ())
    if not pair or not all(member.get(name) for name in pair):
        return table, []
    better, other = (member[name] for name in pair)
    gain = once[other].mean() - once[better].mean()
    drawn = spread[:, other].mean(axis=1) - spread[:, better].mean(axis=1)
    bounds = percentile_interval(drawn, board.config.confidence)
    told = _told(float(gain), bounds, board, [runs[i] for i in (*better, *other) if runs[i] in board.cases])
    return table, [{"task": board.task.name, "expected": pair[0], "over": pair[1], **told}]


def ranks(runs: Sequence[str], boards: Sequence[TaskBoard]) -> tuple[list[Floats], list[Floats]]:
    """Task ranks among ``runs``: by task ``[runs]`` as they stand, and ``[R, runs]`` in every resample."""
    once, spread = rank_arrays(runs, boards, boards[0].config)
    return [ranked[0] for ranked in once], spread or once


def _with_interval(value: float, spread: Floats, board: TaskBoard) -> Row:
    low, high = percentile_interval(spread, board.config.confidence)
    return {"value": value, "low": low, "high": high}


def scaling(job: FindingsJob, boards: Sequence[TaskBoard], sizes: Mapping[str, int]) -> Row:
    """Overall rank against the encoder's weights and against the samples seen, with Spearman's correlation.

    The correlation is of size and *goodness* (negative rank), so that positive means larger is better; its interval
    is over test cases, not over the choice of runs. None where too few runs differ. Overall ranks compare runs of the
    same tasks alone: of tracks that differ in theirs, those with the most runs are asked, and named in ``tracks``.
    """
    track = {r.run: r.track for r in job.runs}
    groups = by_tasks(job)
    if not groups:
        return {}
    tasks, runs = max(groups.items(), key=lambda group: len(group[1]))
    boards = [board for board in boards if board.task.name in tasks]
    once, spread = ranks(runs, boards)
    overall, drawn = np.mean(once, axis=0), np.mean(spread, axis=0)
    amounts = {"parameters": [sizes[run] for run in runs], "samples": [job.samples[run] for run in runs]}
    seeds = min(len(board.cases[run].seeds) for board in boards for run in runs if run in board.cases)
    found: Row = {
        "runs": [
            {
                "run": run, "family": job.families[run], **{name: values[i] for name, values in amounts.items()},
                "rank": _with_interval(float(overall[i]), drawn[:, i], boards[0]),
            }
            for i, run in enumerate(runs)
        ]
    }  # fmt: skip
    if len(groups) > 1:
        found["tracks"] = sorted({track[run] for run in runs})
    for name, values in amounts.items():
        if not enough(values):
            found[name] = None
            continue
        rho = spearman(np.asarray(values, float), -np.vstack([overall[None], drawn]))
        low, high = percentile_interval(rho[1:], job.evaluate.confidence)
        found[name] = {"value": float(rho[0]), "low": low, "high": high, "verdict": _verdict(low, high, seeds)}
    return found


def by_tasks(job: FindingsJob) -> dict[tuple[str, ...], list[str]]:
    """Compared runs by the tasks of their track."""
    track = {r.run: r.track for r in job.runs}
    groups: dict[tuple[str, ...], list[str]] = {}
    for run in compared(job):
        groups.setdefault(tuple(job.tasks_of(track[run])), []).append(run)
    return groups


def enough(amounts: Sequence[int]) -> bool:
    """Whether runs of these sizes can be asked for a correlation: enough of them, and three sizes."""
    return len(amounts) >= LEAST_RUNS and len(set(amounts)) >= LEAST_AMOUNTS


def spearman(x: Floats, y: Floats) -> Floats:
    """Spearman's correlation of ``x`` ``[n]`` with each row of ``y`` ``[R, n]``; NaN where a row is constant."""
    from scipy.stats import rankdata

    a, b = rankdata(x), rankdata(y, axis=1)
    a, b = a - a.mean(), b - b.mean(axis=1, keepdims=True)
    scale = np.sqrt((a**2).sum() * (b**2).sum(axis=1))
    return np.asarray(np.where(scale > 0, b @ a / np.where(scale > 0, scale, 1.0), np.nan))
