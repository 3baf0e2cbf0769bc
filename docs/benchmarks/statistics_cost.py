"""What bootstrap, ranks and permutation tests cost, on made-up cases of 20 models and five tasks.

python docs/benchmarks/statistics_cost.py

One thread. Seconds are of the process, so that other work on the machine counts little; cases are FOMO25's numbers.
"""

# ruff: noqa: E402 (threads are set before NumPy is imported)
import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cairn.config.evaluate import DEFAULT_METRICS, EvaluateConfig, TaskRef
from cairn.evaluate.board import TaskBoard
from cairn.evaluate.comparison import compare_all, separated
from cairn.evaluate.leaderboard import rank_arrays, ranked_rows
from cairn.evaluate.ranking import task_ranks
from cairn.evaluate.resampling import metric_values
from cairn.evaluate.tables import RunCases

TASKS = {
    "infarct": ("classification", 320), "meningioma": ("segmentation", 107), "brain_age": ("regression", 800),
    "vessels": ("segmentation", 107), "dysplasia": ("classification", 320),
}  # fmt: skip
MODELS, SEEDS = 20, 3
CONFIG = EvaluateConfig(resamples=10_000, permutations=100_000)


def made_cases(kind: str, n: int, skill: float, label: Any, rng: np.random.Generator) -> RunCases:
    """Cases of one model: scores, overlaps with missed lesions, or ages, better with more skill."""
    blank = np.full((SEEDS, n), np.nan)
    prediction, dice, nsd = blank, blank, blank
    if kind == "classification":
        prediction = np.round(rng.normal(skill * label, 1.0, (SEEDS, n)), 3)
    elif kind == "regression":
        prediction = label + rng.normal(0, 20 - 10 * skill, (SEEDS, n))
    else:
        dice = rng.beta(1 + skill, 2, (SEEDS, n)) * (rng.random((SEEDS, n)) < 0.3 + 0.5 * skill)
        nsd = 0.8 * dice
    keys = tuple((f"{i:04d}", "1") for i in range(n))
    return RunCases("test", tuple(range(SEEDS)), keys, label, prediction, dice, nsd, ())


def made_board(name: str, kind: str, n: int, seed: int) -> TaskBoard:
    """A task with results of all models, as `read_board` gives it."""
    rng = np.random.default_rng(seed)
    label = {
        "classification": (rng.random(n) < 13 / 21).astype(float), "regression": rng.uniform(20, 90, n),
        "segmentation": np.full(n, np.nan),
    }[kind]  # fmt: skip
    cases = {f"m{i:02d}": made_cases(kind, n, i / MODELS, label, rng) for i in range(MODELS)}
    once, scores = np.ones((1, n), np.int64), {}
    for run, found in cases.items():
        for metric in DEFAULT_METRICS[kind]:
            values = metric_values(metric.name, found, once, CONFIG.worst_error_years)[:, 0]
            every = zip((*found.seeds, -1), (*values, values.mean()), strict=True)
            scores |= {(run, metric.name, s): {"value": v} for s, v in every}
    return TaskBoard(TaskRef(name=name, kind=kind), DEFAULT_METRICS[kind], cases, scores, CONFIG, seed)


T = TypeVar("T")


def timed(call: Callable[[], T]) -> tuple[float, T]:
    """Seconds of this process, and the result."""
    began = time.process_time()
    found = call()
    return time.process_time() - began, found


def ranked(runs: list[str], boards: list[TaskBoard], pairs: list[dict]) -> object:
    """Ranks with intervals and tiers."""
    won = separated(pairs, runs, boards, CONFIG.significance)
    return ranked_rows(runs, boards, CONFIG, *rank_arrays(runs, boards, CONFIG), won)


def processor() -> str:
    """Name of the processor."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))


def main() -> None:
    """Measure, and print a table."""
    boards = [made_board(name, kind, n, seed) for seed, (name, (kind, n)) in enumerate(TASKS.items())]
    runs = list(boards[0].cases)
    lines = []
    for board in boards:
        names = ", ".join(m.title for m in board.metrics)
        spent = timed(lambda b=board: [b.resampled(runs, m.name) for m in b.metrics])[0]
        lines.append((f"{board.task.name}, {TASKS[board.task.name][1]} cases: {names}", spent))
    lines.append(("**bootstrap of all metrics**", sum(s for _, s in lines)))
    everyone = np.ones(len(runs), bool)
    values = [{m.name: b.resampled(runs, m.name) for m in b.metrics} for b in boards]
    ranks = timed(lambda: [task_ranks(v, b.metrics, everyone) for b, v in zip(boards, values, strict=True)])[0]
    lines.append(("ranks of all resamples alone", ranks))
    tested, pairs = timed(lambda: compare_all(boards, CONFIG))
    rows = timed(lambda: ranked(runs, boards, pairs))[0]
    lines.append(("**ranks, their intervals, tiers**", rows))
    lines.append((f"100,000 permutations and intervals, {len(runs) * (len(runs) - 1) // 2} pairs a metric", tested))
    about = f"{processor()}, load {os.getloadavg()[0]:.1f}"
    print(f"Python {platform.python_version()}, numpy {np.__version__}; {about}.")
    print(
        f"{MODELS} models, {SEEDS} seeds each, {CONFIG.resamples:,} resamples, one thread.\n\n| what | s |\n|---|---|"
    )
    print("\n".join(f"| {what} | {spent:.2f} |" for what, spent in lines))


main()
