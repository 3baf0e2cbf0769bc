"""Scores of few-shot heads on the test set, share by share. Imports no torch: it is run once a run and task."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from cairn.config.evaluate import EvaluateJob
from cairn.evaluate.cases import score_cases
from cairn.evaluate.scores import score_rows
from cairn.evaluate.tables import as_arrays
from cairn.io.tables import FEW_SHOT_COLUMNS, FEW_SHOT_PREDICTION_COLUMNS, PREDICTION_COLUMNS, read_table, write_table


def few_shot_curve(job: EvaluateJob, predictions: Path, labels: Path, curve: Path) -> dict[str, Any]:
    """Score every share of a curve against the test labels, with the intervals of every other score.

    Args:
        job: run, task, cohort and how to evaluate; its ``seeds`` play no part.
        predictions: from `cairn.bench.few_shot.few_shot_predictions`.
        labels: of the test items.
        curve: the table: one row a share, draw and metric. Column ``seed`` holds the number of the draw, -1 the mean
            over draws; all draws are of the encoder that the predictions rest on.

    Raises:
        CairnError: for labels or predictions that evaluation cannot use.
    """
    groups: dict[str, dict[int, list[dict[str, str]]]] = {}
    for row in read_table(predictions, FEW_SHOT_PREDICTION_COLUMNS):
        groups.setdefault(row["share"], {}).setdefault(int(row["draw"]), []).append(row)
    rows = []
    for share, draws in sorted(groups.items(), key=lambda pair: float(pair[0])):
        by_draw = {}
        for draw, given in draws.items():
            with tempfile.TemporaryDirectory() as folder:
                table = Path(folder) / "predictions.tsv"
                write_table(table, given, PREDICTION_COLUMNS)
                task = job.task
                by_draw[draw] = score_cases(labels, table, task.kind, job.evaluate, task.classes, task.edges)
        n = round(float(np.mean([float(given[0]["n"]) for given in draws.values()])))
        for found in score_rows(job, as_arrays(job.cohort, by_draw)):
            rows.append({**found, "share": share, "n": n})
    write_table(curve, rows, FEW_SHOT_COLUMNS)
    return {"shares": len(groups), "rows": len(rows)}
