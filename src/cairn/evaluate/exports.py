"""What `dvc metrics` and `dvc plots` show: the leaderboard's values as JSON, scores and learning curves as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cairn.io.atomic import read_json, write_json, write_text

Record = Mapping[str, Any]


def write_tables(leaderboard: Path, histories: Sequence[Path], metrics: Path, scores: Path, curves: Path) -> None:
    """Write the tables.

    Args:
        leaderboard: ``leaderboard.json``.
        histories: ``history.jsonl`` of every pretraining and fine-tuning, as the contracts name their paths.
        metrics: JSON, ``{run: {task: {metric: value}}}``; an undefined value is null.
        scores: folder of one CSV a task and metric: ``run,value,low,high``.
        curves: folder of one CSV a training: ``step,loss``.
    """
    rows = read_json(leaderboard)["rows"]
    values = {r["run"]: {t: s["metrics"] for t, s in r["scores"].items()} for r in rows}
    write_json(
        metrics, {r: {t: {m: v["value"] for m, v in s.items()} for t, s in ts.items()} for r, ts in values.items()}
    )
    by_metric: dict[str, list[Record]] = {}
    for run, tasks in values.items():
        for task, found in tasks.items():
            for metric, value in found.items():
                row = {"run": run, "value": value["value"], "low": value["low"], "high": value["high"]}
                by_metric.setdefault(f"{task}_{metric}", []).append(row)
    for name, table in by_metric.items():
        _write(scores / f"{name}.csv", ("run", "value", "low", "high"), table)
    for path in histories:
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        _write(curves / f"{_training(path)}.csv", ("step", "loss"), [r for r in records if "loss" in r])


def _training(history: Path) -> str:
    """``pretrain_mae_0``, ``finetune_mae_age_0``: from ``…/pretrain/mae/seed-0/history.jsonl`` and its like."""
    parts = history.parts[:-1]
    start = max(i for i, part in enumerate(parts) if part in ("pretrain", "finetune"))
    return "_".join(parts[start:]).replace("seed-", "")


def _write(path: Path, columns: Sequence[str], rows: Iterable[Record]) -> None:
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, out.getvalue())
