"""Paired bootstrap: the same resampled test subjects for every run, so that runs can be compared within a resample.

Subjects are drawn, not sessions: sessions of one person are not independent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.evaluate.metrics.discrimination import auroc_resampled
from cairn.evaluate.metrics.multiclass import auroc_ovr_resampled, f1_macro_resampled, mean_of_defined
from cairn.evaluate.metrics.regression import pearson_resampled, r2_resampled
from cairn.evaluate.metrics.survival import concordance_resampled
from cairn.evaluate.tables import RunCases

Floats = npt.NDArray[np.float64]
CHUNK_CELLS = 2_000_000
OF_FINDING = "auroc_mean_"
"""Begins the name of a single finding's AUROC."""


def generator(*key: object) -> np.random.Generator:
    """A counter-based generator that follows from ``key`` alone."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


def resample_counts(
    subjects: Sequence[str], resamples: int, task: str, cohort: str, seed: int
) -> npt.NDArray[np.int64]:
    """How often each case stands in each resample, ``[resamples, cases]``.

    Args:
        subjects: the cases' subjects, sorted; a subject is drawn with all its sessions.
        resamples: number of resamples.
        task: the task; with the cohort and the seed it keys the generator, the run does not.
        cohort: the test set.
        seed: the experiment's seed.
    """
    names, member = np.unique(np.asarray(subjects), return_inverse=True)
    m = len(names)
    drawn = generator("bootstrap", seed, task, cohort).integers(0, m, size=(resamples, m))
    flat = (drawn + m * np.arange(resamples)[:, None]).ravel()
    counts = np.bincount(flat, minlength=resamples * m).reshape(resamples, m)
    return np.asarray(counts[:, member], np.int64)


def metric_values(metric: str, cases: RunCases, counts: npt.NDArray[Any], cap: float) -> Floats:
    """A metric of every seed in every resample, ``[seeds, R]``; NaN where undefined.

    Args:
        metric: one of `cairn.config.evaluate.MetricName`, ``dice`` or ``nsd`` of one class (`RunCases.parts`), or
            ``auroc_mean_{finding}``.
        cases: the run's cases.
        counts: ``[R, cases]``; ones give the plain value.
        cap: largest absolute error that counts (``mae``, ``r2``).
    """
    if metric == "auroc_mean":
        return mean_of_defined(
            np.stack([metric_values(f"{OF_FINDING}{n}", cases, counts, cap) for n in cases.findings])
        )
    if metric.startswith(OF_FINDING):
        return metric_values("auroc", cases.of_finding(metric.removeprefix(OF_FINDING)), counts, cap)
    if metric == "concordance":
        return np.stack([concordance_resampled(cases.label, cases.events, row, counts) for row in cases.prediction])
    if metric == "r2":
        return np.stack([r2_resampled(cases.label, row, counts, cap) for row in cases.prediction])
    if metric == "f1_macro":
        rows = [f1_macro_resampled(cases.label, row, counts, len(cases.parts)) for row in cases.prediction]
        return np.stack(rows)
    if metric == "auroc_ovr":
        scores = np.stack(list(cases.parts.values()), axis=1)
        return np.stack([auroc_ovr_resampled(cases.label, row, counts) for row in scores])
    if metric in ("dice", "nsd", "mae", "accuracy") or metric in cases.parts:
        per_case = case_values(metric, cases, cap)
        total = counts.sum(axis=1, keepdims=True)
        return np.asarray((np.asarray(counts, float) @ per_case.T / total).T)
    method: Any = auroc_resampled if metric == "auroc" else pearson_resampled
    step = max(1, CHUNK_CELLS // max(1, counts.shape[1]))
    chunks = [counts[i : i + step] for i in range(0, max(1, len(counts)), step)]
    return np.stack([
        np.concatenate([method(cases.label, row, chunk) for chunk in chunks]) for row in cases.prediction
    ])  # fmt: skip


def case_values(metric: str, cases: RunCases, cap: float) -> Floats:
    """Per-case values ``[seeds, cases]`` of a metric that is a mean over cases, single classes' too."""
    if metric in cases.parts:
        return cases.parts[metric]
    if metric == "mae":
        return np.asarray(np.minimum(np.abs(cases.prediction - cases.label), cap))
    if metric == "accuracy":
        return np.asarray(cases.prediction == cases.label, float)
    return cases.dice if metric == "dice" else cases.nsd
