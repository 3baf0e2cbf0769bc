"""A made-up benchmark of frozen encoders: two tracks with tasks of their own, a third that nobody has entered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cairn.config.evaluate import EvaluateConfig, EvaluateJob, LeaderboardJob, ReportJob
from cairn.config.runs import Run
from cairn.evaluate.leaderboard import leaderboard
from cairn.evaluate.scores import evaluate
from cairn.io.atomic import write_json
from cairn.io.tables import FEW_SHOT_COLUMNS, PREDICTION_COLUMNS, write_table

ORGANS, FINDINGS = ("ventricle", "thalamus", "eye", "bone"), ("haemorrhage", "infarct", "never_seen")
FLAT, DEEP = {"input": "mask", "head": "linear"}, {"input": "volume", "head": "mean"}
TASKS: dict[str, dict[str, Any]] = {
    "organs_ct": {"kind": "probe", "title": "Structures, CT", "classes": ORGANS, "frozen": FLAT},
    "haemorrhage": {"kind": "classification", "title": "Haemorrhage", "frozen": {"input": "slice", "head": "linear"}},
    "age": {"kind": "regression", "title": "Brain age", "frozen": DEEP},
    "survival": {"kind": "survival", "title": "Survival", "frozen": DEEP},
    "findings": {"kind": "findings", "title": "Findings", "classes": FINDINGS, "frozen": DEEP},
}
TASKS = {name: {"name": name, **task} for name, task in TASKS.items()}
TRACKS = {
    "curia_2d": {"title": "CuriaBench 2D", "tasks": ("organs_ct", "haemorrhage")},
    "curia_3d": {"title": "CuriaBench 3D", "tasks": ("age", "survival", "findings")},
    "open": {"foreign_weights": True},
}
METRICS = {
    "probe": [{"name": "accuracy", "title": "Accuracy"}, {"name": "auroc_ovr", "title": "AUROC (OvR)"}],
    "regression": [
        {"name": "mae", "title": "MAE", "unit": "years", "higher_is_better": False, "worst": 100.0, "decimals": 2},
        {"name": "r2", "title": "R²"},
    ],
}  # fmt: skip
CONFIG = EvaluateConfig(resamples=200, permutations=500, metrics=METRICS)
MAKERS = (
    ("curia", "Curia-tiny", "pretrained", 0.45), ("curia2", "Curia-2-tiny", "pretrained", 0.5),
    ("random", "Random start", "scratch", 0.3), ("pixels", "Pixels, linear head", "classical", 0.15),
)  # fmt: skip
RUNS = tuple(
    Run(run=f"{run}{end}", label=label, method=method, track=track, network="" if method == "classical" else "vit")
    for track, end in (("curia_2d", ""), ("curia_3d", "_3d"))
    for run, label, method, _ in MAKERS
)
SKILL = {f"{run}{end}": skill for run, _, _, skill in MAKERS for end in ("", "_3d")}


def truth(name: str, n: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Targets of a task: a number of cases of half as many subjects."""
    rows: list[dict[str, Any]] = []
    for i in range(n):
        row: dict[str, Any] = {"subject": f"{i // 2:03d}", "session": f"{i % 2 + 1}"}
        row |= {
            "organs_ct": {"value": i % 4}, "haemorrhage": {"value": i % 3 // 2},
            "age": {"value": round(float(rng.uniform(25, 80)), 1)},
            "survival": {"time": round(float(rng.exponential(4)), 2), "event": int(rng.random() < 0.7)},
            "findings": {"haemorrhage": i % 2, "infarct": int(i % 5 > 2), "never_seen": 0},
        }[name]  # fmt: skip
        rows.append(row)
    return rows


def answer(name: str, row: dict[str, Any], skill: float, rng: np.random.Generator) -> str:
    """What a run of ``skill`` from 0 to 1 says of a case."""

    def near(value: float) -> float:
        return float(np.clip(skill * value + (1 - skill) * rng.random(), 0, 1))

    if name == "organs_ct":
        scores = np.array([near(float(k == row["value"])) for k in range(4)]) + 1e-3
        return " ".join(map(repr, (scores / scores.sum()).tolist()))
    if name == "findings":
        return " ".join(repr(near(row[finding])) for finding in FINDINGS)
    if name == "survival":
        return repr(float(-skill * row["time"] + rng.normal(0, 4 * (1 - skill))))
    if name == "age":
        return repr(float(np.clip(52 + skill * (row["value"] - 52) + rng.normal(0, 22 * (1 - skill)), 0, 120)))
    return repr(near(row["value"]))


def built(
    root: Path, n: int = 40, seeds: int = 3, runs: Sequence[Run] = RUNS, tracks: dict[str, Any] = TRACKS
) -> tuple[ReportJob, Path, dict[str, list[Path]]]:  # fmt: skip
    """The report's job, the leaderboard and all other files."""
    common = {"experiment": "curia", "runs": runs, "tasks": TASKS, "tracks": tracks}
    job = LeaderboardJob(**common, evaluate=CONFIG)
    cases, scores = [], []
    for t, name in enumerate(TASKS):
        rows = truth(name, n, np.random.default_rng(t))
        labels = root / "items" / name / "targets.tsv"
        write_table(labels, rows, list(rows[0]))
        for r, run in enumerate(run for run in runs if name in job.tasks_of(run.track)):
            tables = []
            for s in range(seeds):
                rng = np.random.default_rng([t, r, s])
                said = [{**row, "status": "ok", "value": answer(name, row, SKILL[run.run], rng)} for row in rows]
                tables.append(root / "predict" / run.run / name / f"seed-{s}" / "predictions.tsv")
                write_table(tables[-1], said, PREDICTION_COLUMNS)
            folder = root / "evaluate" / run.run / name
            task = EvaluateJob(
                run=run.run, track=run.track, task=TASKS[name], seeds=range(seeds), cohort="heads_test",
                evaluate=CONFIG,
            )  # fmt: skip
            evaluate(task, labels, tables, folder / "cases.tsv", folder / "scores.parquet")
            cases.append(folder / "cases.tsv")
            scores.append(folder / "scores.parquet")
    board = root / "leaderboard/leaderboard.json"
    stable = board.with_name("stability.json")
    leaderboard(job, cases, scores, board.with_suffix(".csv"), board, stable)
    few = few_shot(root / "evaluate", runs)
    absent = root / "bench/absent.json"
    write_json(
        absent, [{"name": "Lung nodules (LUNA16)", "why": "not downloaded", "how": "Accept the terms on the hub."}]
    )
    return ReportJob(**common, seeds=range(seeds), note="Made up."), board, {
        "cases": cases, "stability": [stable], "few_shot": few, "absent": [absent],
    }  # fmt: skip


def few_shot(folder: Path, runs: Sequence[Run]) -> list[Path]:
    """Curves that rise with the share, three draws and their mean; a table a run."""
    paths = []
    for run in runs:
        rows = []
        task, metric = ("haemorrhage", "auroc") if run.track == "curia_2d" else ("findings", "auroc_mean")
        for share in (0.01, 0.05, 0.1, 0.25, 0.5, 1.0):
            value = 0.5 + SKILL[run.run] * 0.45 * share**0.3
            for draw in (0, 1, 2, -1):
                one = value + (0.02 * (draw - 1) if draw >= 0 else 0.0)
                rows.append({
                    "run": run.run, "task": task, "share": share, "n": round(200 * share), "seed": draw,
                    "metric": metric, "value": round(one, 4), "ci_low": round(one - 0.06, 4),
                    "ci_high": round(min(1.0, one + 0.06), 4),
                })  # fmt: skip
        paths.append(folder / run.run / task / "few_shot.tsv")
        write_table(paths[-1], rows, FEW_SHOT_COLUMNS)
    return paths
