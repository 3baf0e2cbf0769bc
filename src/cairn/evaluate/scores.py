"""Score one run on one task: cases, metrics of every seed and of their mean, bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cairn.config.evaluate import EvaluateConfig, EvaluateJob, TaskRef
from cairn.errors import CairnError
from cairn.evaluate.cases import OK, score_cases
from cairn.evaluate.fairness import fairness, read_people
from cairn.evaluate.intervals import Interval, percentile_interval, resampled_interval, score_interval
from cairn.evaluate.resampling import OF_FINDING, metric_values, resample_counts
from cairn.evaluate.tables import SEED_MEAN, RunCases, as_arrays, write_cases, write_scores


def evaluate(
    job: EvaluateJob, labels: Path, predictions: Sequence[Path], cases: Path, scores: Path, people: Path | None = None
) -> dict[str, Any]:
    """Write ``cases.tsv`` and ``scores.parquet`` of one run on one task.

    Args:
        job: configuration.
        labels: the test labels; mask paths are relative to their folder.
        predictions: one table a seed, in the order of ``job.seeds``.
        cases: where to write the cases.
        scores: where to write the scores.
        people: age and sex of the test sessions, where fairness is asked for.

    Returns:
        Facts for the card: number of cases, and every invalid prediction by name.

    Raises:
        CairnError: when tables and seeds do not match, or a table cannot be used.
    """
    if len(predictions) != len(job.seeds) or len(set(job.seeds)) != len(job.seeds):
        raise CairnError(
            f"{len(predictions)} prediction table(s) for seeds {', '.join(map(str, job.seeds))}.",
            "Give one table a seed, in the order of the seeds.", "seeds",
        )  # fmt: skip
    by_seed = {
        seed: score_cases(labels, table, job.task.kind, job.evaluate, job.task.classes, job.task.edges)
        for seed, table in zip(job.seeds, predictions, strict=True)
    }
    write_cases(cases, job.cohort, by_seed)
    arrays = as_arrays(job.cohort, by_seed)
    rows = score_rows(job, arrays)
    if job.evaluate.fairness.enabled:
        if people is None:
            raise CairnError("Fairness is asked for without ages and sexes.", "Give the table of people.", "people")
        rows += fairness_rows(job, arrays, read_people(people, arrays.keys))
    write_scores(scores, rows)
    invalid = [
        f"seed {s}: {c.subject}/{c.session}: {c.status}" for s, rows in by_seed.items() for c in rows if c.status != OK
    ]
    return {"cases": len(by_seed[job.seeds[0]]), "invalid_predictions": invalid}


def score_rows(job: EvaluateJob, cases: RunCases) -> list[dict[str, Any]]:
    """Rows of ``scores.parquet``: per metric every seed, then the mean over seeds (seed -1)."""
    config = job.evaluate
    counts = resample_counts(cases.subjects, config.resamples, job.task.name, job.cohort, job.seed)
    once = np.ones((1, len(cases.keys)), np.int64)
    rows = []
    for name in [m.name for m in config.of_kind(job.task.kind)] + class_metrics(job.task, cases):
        value = metric_values(name, cases, once, config.worst_error_years)[:, 0]
        spread = metric_values(name, cases, counts, config.worst_error_years)
        rows += _rows(job, cases, name, len(cases.keys), value, spread)
    return rows


def class_metrics(task: TaskRef, cases: RunCases) -> list[str]:
    """Metrics of single classes of a mask, and of single findings, scored beside the whole; nothing ranks by them."""
    if task.kind == "findings":
        return [f"{OF_FINDING}{name}" for name in cases.findings]
    return list(cases.parts) if task.kind in ("segmentation", "registration") else []


def fairness_rows(job: EvaluateJob, cases: RunCases, people: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Rows of ``scores.parquet`` for groups of the test set, their gaps and the score: ``{metric}@{what}``."""
    config = job.evaluate
    counts = resample_counts(cases.subjects, config.resamples, job.task.name, job.cohort, job.seed)
    rows = []
    for metric in config.of_kind(job.task.kind):
        found = fairness(metric.name, cases, counts, people, config.fairness, config.worst_error_years)
        for name, n, value, spread in found:
            rows += _rows(job, cases, f"{metric.name}@{name}", n, value, spread)
    return rows


def _rows(job: EvaluateJob, cases: RunCases, metric: str, n: int, value: Any, spread: Any) -> list[dict[str, Any]]:
    """A number's rows: every seed ``[seeds]`` with its resamples ``[seeds, R]``, then the mean over seeds."""
    rows = []
    for seed, plain, resampled in [
        *zip(cases.seeds, value, spread, strict=True),
        (SEED_MEAN, value.mean(), spread.mean(axis=0)),
    ]:
        undefined = bool(np.isnan(plain))
        low, high = (None, None) if undefined else _bounds(metric, float(plain), resampled, cases, n, job.evaluate)
        rows.append({
            "run": job.run, "track": job.track, "task": job.task.name, "cohort": job.cohort, "seed": seed,
            "metric": metric, "value": None if undefined else float(plain), "ci_low": low, "ci_high": high, "n": n,
        })  # fmt: skip
    return rows


def _bounds(metric: str, value: float, resampled: Any, cases: RunCases, n: int, config: EvaluateConfig) -> Interval:
    """Interval of one number: a class's is that of its metric; a gap, the largest difference of several, has no t."""
    of, _, group = metric.partition("@")
    base = of.split("_")[0] if of.startswith(("dice_", "nsd_")) else of
    if group.startswith(("gap", "fairness")):
        return percentile_interval(resampled, config.confidence)
    if of.startswith(OF_FINDING):
        base, cases = "auroc", cases.of_finding(of.removeprefix(OF_FINDING))
    if group:
        return resampled_interval(base, resampled, n, config.confidence)
    return score_interval(base, value, resampled, cases, config.confidence, config.worst_error_years)
