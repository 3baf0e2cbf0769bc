"""Everything the report reads, made up on disk: shards, cards, histories, beside the world of evaluation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import world

from cairn.config.evaluate import EvaluateConfig, ReportJob
from cairn.config.runs import Run
from cairn.evaluate.leaderboard import leaderboard
from cairn.io.atomic import write_json, write_text
from cairn.io.shard import PreprocessedSession, SequenceGeometry, SessionGeometry, write_shard
from cairn.io.tables import SHARD_COLUMNS, read_table, write_table

GRID = (24, 24, 24)


def head(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """An ellipsoid of brain with some structure, and bright stuff outside that must never be drawn."""
    grid = np.indices(GRID).astype(float)
    radius = sum(((g - 11.5) / r) ** 2 for g, r in zip(grid, (9.5, 11, 9), strict=True))
    volume = np.sin(grid[0] / 2) * np.cos(grid[1] / 3) + 0.3 * rng.normal(size=GRID)
    return np.where(radius < 1, volume, 99.0).astype(np.float32), radius < 1


def shard(root: Path, dataset: str, subjects: Sequence[str]) -> Path:
    """A shard of preprocessed sessions, with its index."""
    rng, sessions = np.random.default_rng(0), []
    for subject in subjects:
        volume, mask = head(rng)
        geometry = SessionGeometry(
            GRID, np.diag([2.0, 2.0, 2.0, 1.0]), {"FLAIR": SequenceGeometry(world.SHAPE, world.AFFINE, np.eye(4))}
        )
        sessions.append(PreprocessedSession(subject, "1", {"FLAIR": volume}, mask, geometry))
    write_shard(root / "preprocess" / dataset / "0000.safetensors", sessions)
    index = root / "preprocess" / dataset / "0000.index.tsv"
    write_table(index, [{"subject": s, "session": "1", "sequences": "FLAIR"} for s in subjects], SHARD_COLUMNS)
    return index


def card(path: Path, stage: str, wall_s: float) -> Path:
    """A card as a job writes it."""
    hardware = {"machine": "x86_64", "processor": "Test CPU", "cores": 2}
    write_json(path, {
        "stage": stage, "wall_s": wall_s, "peak_memory_mb": 700.0, "hardware": hardware,
        "versions": {"python": "3.11.7", "numpy": "2.3.5"},
    })  # fmt: skip
    return path


def history(path: Path, key: str, offset: float) -> Path:
    """Falling losses, with a validation now and then, and a last line that a kill cut short."""
    lines = []
    for step in range(0, 400, 10):
        record: dict[str, Any] = {"step": step, "loss": 0.2 + offset + np.exp(-step / 90)}
        if step % 50 == 0:
            record[key] = 0.5 + 0.3 * step / 400 - offset
        lines.append(json.dumps(record))
    write_text(path, "\n".join(lines) + '\n{"step": 4')
    return path


def built(
    root: Path, runs: Sequence[Run] = world.RUNS, tasks: Sequence[str] = tuple(world.TASKS), n: int = 20,
    seeds: int = 3, config: EvaluateConfig = world.FAST, note: str = "",
) -> tuple[ReportJob, Path, dict[str, list[Path]]]:  # fmt: skip
    """A finished experiment under ``root``: the report's job, the leaderboard and all other files."""
    cases, scores = world.evaluated(root, n, seeds, runs, config, tasks)
    board = root / "leaderboard" / "leaderboard.json"
    leaderboard(world.board_job(runs, config, tasks), cases, scores, board.with_suffix(".csv"), board)
    return job(runs, tasks, seeds, note), board, files(root, runs, tasks, seeds, cases)


def job(runs: Sequence[Run], tasks: Sequence[str], seeds: int = 3, note: str = "") -> ReportJob:
    """The report's configuration."""
    made = {"role": "meningioma", "split": "test", "positives": 14, "negatives": 6, "sites": ["B", "C"]}
    return ReportJob(
        experiment="toy", runs=tuple(runs), tasks={t: world.TASKS[t] for t in tasks}, seeds=tuple(range(seeds)),
        datasets={f"{t}_test": {"kind": "cohort", "cohort": made} for t in tasks}, spacing_mm=2.0, note=note,
    )  # fmt: skip


def files(
    root: Path, runs: Sequence[Run], tasks: Sequence[str], seeds: int, cases: list[Path]
) -> dict[str, list[Path]]:
    """All inputs of the report beside the leaderboard."""
    trained = [(r, t, s) for r in runs for t in tasks for s in range(seeds)]
    labels = [root / "truth" / f"{t}_test" / "labels.tsv" for t in tasks]
    manifest = root / "raw" / f"{tasks[0]}_test" / "manifest.parquet"
    manifest.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"subject": ["a", "a", "b"], "session": ["1", "1", "1"]}).to_parquet(manifest, index=False)
    pretrain, finetune = root / "pretrain", root / "finetune"
    seeded = [(r, s) for r in runs if r.method == "pretrained" for s in range(seeds)]
    histories = [history(pretrain / r.run / f"seed-{s}" / "history.jsonl", "val_loss", s / 30) for r, s in seeded]
    histories += [
        history(finetune / r.run / t / f"seed-{s}" / "history.jsonl", "val_score", s / 30 + len(r.run) / 50)
        for r, t, s in trained if r.method != "classical"
    ]  # fmt: skip
    cards = [card(root / "preprocess" / "x" / "0000.run.json", "preprocess_shard", 75.0)]
    cards += [card(pretrain / r.run / f"seed-{s}" / "run.json", "pretrain_encoder", 130.5) for r, s in seeded]
    cards += [card(finetune / r.run / t / f"seed-{s}" / "run.json", "finetune_model", 9.25) for r, t, s in trained]
    shards = []
    if "meningioma" in tasks:
        subjects = [r["subject"] for r in read_table(labels[list(tasks).index("meningioma")])]
        shards.append(shard(root, "meningioma_test", subjects))
    return {
        "cases": cases, "cards": cards, "histories": histories, "shards": shards, "labels": labels,
        "predictions": [root / "predict" / r.run / t / f"seed-{s}" / "predictions.tsv" for r, t, s in trained],
        "manifests": [manifest],
    }  # fmt: skip
