"""A small made-up world on disk: labels, predictions and masks as the stages before evaluation write them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cairn.config.evaluate import EvaluateConfig, EvaluateJob, LeaderboardJob
from cairn.config.runs import Run
from cairn.evaluate.scores import evaluate
from cairn.io.atomic import sha256
from cairn.io.nifti import write_scan
from cairn.io.tables import LABEL_COLUMNS, PREDICTION_COLUMNS, write_table

AFFINE = np.diag([2.0, 2.0, 4.0, 1.0])
SHAPE = (24, 24, 12)
TASKS = {
    "infarct": {"name": "infarct", "kind": "classification", "title": "Infarct"},
    "meningioma": {"name": "meningioma", "kind": "segmentation", "title": "Meningioma"},
    "brain_age": {"name": "brain_age", "kind": "regression", "title": "Brain age"},
}
FAST = EvaluateConfig(resamples=200, permutations=500)


def ball(centre: Sequence[float], radius_mm: float) -> np.ndarray:
    """A ball in mm on the anisotropic grid."""
    grid = np.indices(SHAPE).transpose(1, 2, 3, 0) * [2.0, 2.0, 4.0]
    return np.asarray(((grid - np.asarray(centre)) ** 2).sum(-1) < radius_mm**2)


def labels(folder: Path, kind: str, n: int, rng: np.random.Generator) -> Path:
    """A table of ``n`` labels (and masks; every fifth is empty)."""
    table, rows = folder / "labels.tsv", []
    for i in range(n):
        row: dict[str, Any] = {"subject": f"{i:04d}", "session": "1"}
        if kind == "segmentation":
            mask = ball(rng.uniform(16, 30, 3), 6 + 4 * rng.random()) & (i % 5 != 4)
            row |= {"mask": f"masks/{i:04d}.nii.gz", "mask_sequence": "FLAIR"}
            write_scan(folder / row["mask"], mask.astype(np.uint8), AFFINE)
        else:
            row["value"] = i % 2 if kind == "classification" else round(float(rng.uniform(30, 85)), 2)
        rows.append(row)
    write_table(table, rows, LABEL_COLUMNS)
    return table


def predict(folder: Path, kind: str, truth: Path, skill: float, rng: np.random.Generator) -> Path:
    """Predictions of a model of ``skill`` between 0 and 1, all valid."""
    from cairn.io.nifti import read_mask
    from cairn.io.tables import read_table

    rows = []
    for row in read_table(truth, LABEL_COLUMNS):
        out: dict[str, Any] = {"subject": row["subject"], "session": row["session"], "status": "ok"}
        if kind == "classification":
            out["value"] = round(float(np.clip(skill * float(row["value"]) + (1 - skill) * rng.random(), 0, 1)), 4)
        elif kind == "regression":
            noise = rng.normal(0, 25 * (1 - skill))
            out["value"] = round(float(np.clip(58 + skill * (float(row["value"]) - 58) + noise, 0, 120)), 2)
        else:
            mask = read_mask(truth.parent / row["mask"])
            shift = round((1 - skill) * 4)
            out |= mask_row(folder, row["subject"], np.roll(mask, int(rng.integers(0, shift + 1)), axis=0))
        rows.append(out)
    return write_predictions(folder, rows)


def mask_row(folder: Path, subject: str, mask: np.ndarray, affine: np.ndarray = AFFINE) -> dict[str, str]:
    """Write a predicted mask and describe it as a table row does."""
    path = folder / "masks" / f"{subject}.nii.gz"
    write_scan(path, mask.astype(np.uint8), affine)
    return {"mask": f"masks/{subject}.nii.gz", "mask_sha256": sha256(path)}


def write_predictions(folder: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Write ``predictions.tsv``."""
    table = folder / "predictions.tsv"
    write_table(table, rows, PREDICTION_COLUMNS)
    return table


RUNS = (
    Run(run="mae", label="Masked autoencoder", method="pretrained", objective="mae", network="unet", pretrain_data="p"),
    Run(run="scratch", label="From scratch", method="scratch", network="unet"),
    Run(run="classical", label="Volumes and intensities", method="classical", ranked=False),
)
SKILL = {"mae": 0.8, "scratch": 0.4, "classical": 0.2}


def evaluated(
    root: Path, n: int = 20, seeds: int = 3, runs: Sequence[Run] = RUNS, config: EvaluateConfig = FAST,
    tasks: Sequence[str] = tuple(TASKS),
) -> tuple[list[Path], list[Path]]:  # fmt: skip
    """Evaluate every run on every task under ``root`` as the workflow does; returns cases and scores."""
    found: tuple[list[Path], list[Path]] = ([], [])
    for t, name in enumerate(tasks):
        task = TASKS[name]
        truth = labels(root / "truth" / f"{name}_test", task["kind"], n, np.random.default_rng(t))
        for r, run in enumerate(runs):
            tables = [
                predict(
                    root / "predict" / run.run / name / f"seed-{s}", task["kind"], truth, SKILL.get(run.run, 0.5),
                    np.random.default_rng([t, r, s]),
                )
                for s in range(seeds)
            ]  # fmt: skip
            folder = root / "evaluate" / run.run / name
            job = EvaluateJob(
                run=run.run, task=task, seeds=tuple(range(seeds)), cohort=f"{name}_test", evaluate=config, seed=1
            )
            evaluate(job, truth, tables, folder / "cases.tsv", folder / "scores.parquet")
            found[0].append(folder / "cases.tsv")
            found[1].append(folder / "scores.parquet")
    return found


def board_job(
    runs: Sequence[Run] = RUNS, config: EvaluateConfig = FAST, tasks: Sequence[str] = tuple(TASKS)
) -> LeaderboardJob:
    """The job that ranks this world."""
    return LeaderboardJob(
        experiment="toy", seed=1, runs=tuple(runs), tasks={n: TASKS[n] for n in tasks}, evaluate=config
    )
