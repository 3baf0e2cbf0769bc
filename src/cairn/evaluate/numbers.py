"""One number of the leaderboard, found by run, task and metric: how it reads, and the file that it stands in."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cairn.config.evaluate import DEFAULT_METRICS, FROZEN_METRICS, MORE_METRICS, Metric
from cairn.errors import CairnError
from cairn.evaluate.tables import SEED_MEAN, read_scores
from cairn.io.atomic import read_json
from cairn.provenance.why import Question

OVERALL, RANK = "overall", "rank"
"""What to ask for in place of a task and of a metric, to be told about a rank."""
STANDING = (RANK, "place", "tier")
KNOWN: Mapping[str, Metric] = {
    str(m.name): m for metrics in (*DEFAULT_METRICS.values(), MORE_METRICS, *FROZEN_METRICS.values()) for m in metrics
} | {"dice": Metric(name="dice", title="Dice")}
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Number:
    """A number and what stands beside it."""

    run: str
    task: str
    metric: str
    title: str
    """Metric, run and task in words."""
    value: float | None
    """None: undefined."""
    low: float | None
    high: float | None
    n: int | None
    """Test cases; None for a rank."""
    cohort: str
    seeds: Mapping[str, tuple[float | None, float | None, float | None]]
    """Value and interval of every seed; empty for a rank."""
    decimals: int
    unit: str
    confidence: str
    """Coverage of the intervals: ``95%``."""
    file: Path
    """The file that the number stands in."""

    def printed(self, value: float | None) -> str:
        """A value as the leaderboard prints it."""
        return "undefined" if value is None else f"{value:.{self.decimals}f}{' ' + self.unit if self.unit else ''}"

    def interval(self, low: float | None, high: float | None) -> str:
        """An interval as the leaderboard prints it; empty where there is none."""
        return "" if low is None or high is None else f"{low:.{self.decimals}f} to {high:.{self.decimals}f}"


def find_number(results: Path, run: str, task: str, metric: str) -> Number:
    """Look up a metric of a run on a task, or its rank.

    Args:
        results: folder of the experiment.
        run: the run.
        task: the task; ``overall`` for its place among all.
        metric: the metric; ``rank`` for its rank; of ``overall`` also ``place`` and ``tier``.

    Raises:
        CairnError: for a name that is not there, with those that are, the nearest first.
    """
    pairs = sorted((p.parts[-3], p.parts[-2]) for p in results.glob("evaluate/*/*/scores.parquet"))
    _check("run", run, {r for r, _ in pairs}, f"{results}/evaluate")
    tasks = {t for r, t in pairs if r == run}
    _check("task", task, tasks | {OVERALL}, f"run '{run}'")
    if task not in tasks:
        _check("number", metric, set(STANDING), f"task '{task}'")
        return _standing(results, run, task, metric)
    file = results / "evaluate" / run / task / "scores.parquet"
    rows = read_scores(file)
    _check("metric", metric, {str(r["metric"]) for r in rows} | {RANK}, f"run '{run}' on task '{task}'")
    return _standing(results, run, task, metric) if metric == RANK else _score(results, file, metric, rows)


def _check(what: str, given: str, known: Iterable[str], where: str) -> None:
    """Refuse a name that is not known."""
    names = set(known)
    if given in names:
        return
    near = sorted(names, key=lambda n: (-difflib.SequenceMatcher(None, given.lower(), n.lower()).ratio(), n))
    said = f"{where}: no {what} '{given}'." if given else f"{where}: which {what}?"
    raise CairnError(said, f"Known: {', '.join(near) or 'none'}.", "unknown")


def _score(results: Path, file: Path, metric: str, rows: Iterable[Record]) -> Number:
    by_seed = {int(r["seed"]): r for r in rows if r["metric"] == metric}
    mean = by_seed.pop(SEED_MEAN, None)
    if mean is None:
        raise CairnError(f"{file}: no mean over seeds of '{metric}'.", "Evaluate the run again.", "scores")
    board = _board(results)
    how = _metric(board, mean["task"], metric)
    return Number(
        mean["run"], mean["task"], metric, f"{how.title} of {mean['run']} on {mean['task']}",
        mean["value"], mean["ci_low"], mean["ci_high"], mean["n"], mean["cohort"],
        {str(s): (r["value"], r["ci_low"], r["ci_high"]) for s, r in sorted(by_seed.items())},
        how.decimals, how.unit, _confidence(board), file,
    )  # fmt: skip


def _standing(results: Path, run: str, task: str, metric: str) -> Number:
    """Rank, place or tier, from the leaderboard."""
    board = _board(results)
    row: Record = next((r for r in board.get("rows", ()) if r["run"] == run), {})
    if task == OVERALL and metric != RANK:
        value = {"value": row.get(metric), "low": None, "high": None}
    else:
        value = (row.get("overall") if task == OVERALL else row.get("ranks", {}).get(task)) or {"value": None}
    if value["value"] is None:
        raise CairnError(f"{results}: run '{run}' is not ranked.", "Ask for one of its metrics.", "unknown")
    decimals = 0 if metric != RANK else 2 if task == OVERALL else 1
    title = f"{metric.capitalize() if task != OVERALL or metric != RANK else 'Overall rank'} of {run}"
    return Number(
        run, task, metric, title if task == OVERALL else f"{title} on {task}", value["value"], value["low"],
        value["high"], None, "", {}, decimals, "", _confidence(board), results / "leaderboard" / "leaderboard.json",
    )  # fmt: skip


def _board(results: Path) -> dict[str, Any]:
    """The leaderboard; empty before it is made."""
    try:
        return dict(read_json(results / "leaderboard" / "leaderboard.json"))
    except (OSError, ValueError):
        return {}


def _confidence(board: Record) -> str:
    return f"{board['evaluate']['confidence']:.0%}" if board else ""


def _metric(board: Record, task: str, metric: str) -> Metric:
    """How a metric is printed: as the leaderboard does, else as by default."""
    found = [m for t in board.get("tasks", ()) if t["name"] == task for m in t["metrics"] if m["name"] == metric]
    if found or metric in KNOWN:
        return Metric(**found[0]) if found else KNOWN[metric]
    if "@" in metric:  # of a group
        whole, _, name = metric.partition("@")
    else:  # of one class
        whole = max((known for known in KNOWN if metric.startswith(f"{known}_")), key=len)
        name = metric.removeprefix(f"{whole}_")
    return _metric(board, task, whole).model_copy(update={"title": f"{KNOWN[whole].title} ({name})"})


def about_number(number: Number) -> Question:
    """Ask where a number comes from."""
    notes = []
    spread = number.interval(number.low, number.high)
    if number.value is not None:
        notes.append(f"{f'{number.confidence} interval {spread}; ' if spread else ''}unrounded {number.value!r}")
    if number.n is not None:
        many = f"mean of {len(number.seeds)} seeds" if len(number.seeds) != 1 else "one seed"
        notes.append(f"{number.n} test cases of {number.cohort}; {many}:")
    for seed, (value, low, high) in number.seeds.items():
        between = number.interval(low, high)
        notes.append(f"  seed {seed}: {number.printed(value)}{f', interval {between}' if between else ''}")
    record = asdict(number) | {"file": number.file.as_posix(), "printed": number.printed(number.value)}
    return Question(f"{number.title}: {number.printed(number.value)}", notes, [number.file.as_posix()], record)
