"""Everything the report reads, made up on disk: shards, cards, histories, beside the world of evaluation."""

from __future__ import annotations

import hashlib
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
from cairn.provenance.cards import CARD_FORMAT

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


def card(path: Path, stage: str, wall_s: float, inputs: Sequence[Path] = (), outputs: Sequence[Path] = ()) -> Path:
    """A card as a job writes it; the files are made up, and a file's hash is that of its name."""
    run = path.parent.name if stage in ("leaderboard", "evaluate_run") else path.parts[-2]
    write_json(path, {
        "format": CARD_FORMAT, "stage": stage, "code": f"{digest(Path(stage)):.16}", "config_sha256": "0" * 64,
        "config": {"seed": 7, "of": run, "shared": {"rate": 0.1, "text": "</script><!-- & \u2028"}},
        "inputs": {p.as_posix(): digest(p) for p in inputs}, "outputs": {p.as_posix(): digest(p) for p in outputs},
        "environment": {"pins": "0123456789abcdef", "packages": {"python": "3.11.7", "numpy": "2.3.5"}},
        "hardware": {"machine": "x86_64", "processor": "Test CPU", "cores": 2},
        "started": "2026-11-24T18:01:02+00:00", "finished": 1795545000.0, "wall_s": wall_s, "cpu_s": wall_s / 2,
        "peak_memory_mb": 700.0, "provenance_s": 0.1, "facts": {"device": "cpu"},
    })  # fmt: skip
    return path


def digest(path: Path) -> str:
    """The made-up hash of a file."""
    return hashlib.sha256(path.as_posix().encode()).hexdigest()


def cards(root: Path, runs: Sequence[Run], tasks: Sequence[str], seeds: int, scans: int = 2) -> list[Path]:
    """The cards of all jobs, from a fetched package to the leaderboard, in the order of the workflow."""
    package, raw, pre, few, test = root / "resources/packages/heads.whl", root / "raw", root / "preprocess", {}, {}
    made = [card(package.with_name("heads.whl.run.json"), "fetch_package", 1.0, [], [package])]
    for name in ["p", *(f"{t}_{kind}" for t in tasks for kind in ("few", "test"))]:
        index, labels = raw / name / "index/0000.tsv", root / "truth" / name / "labels.tsv"
        images = [raw / name / f"sub-{i}/ses-1/anat/sub-{i}_ses-1_T1w.nii.gz" for i in range(scans)]
        sharded = labels.parent / "labels/0000.tsv"
        mask = labels.parent / "sub-0/ses-1/sub-0_ses-1_desc-brain_mask.nii.gz"
        shard_index = pre / name / "0000.index.tsv"
        made += [
            card(index.with_suffix(".run.json"), "cohort_shard", 5.0, [package], [index, sharded, mask, *images]),
            card(raw / name / "manifest.run.json", "manifest", 1.0, [index], [raw / name / "manifest.parquet"]),
            card(labels.with_name("labels.run.json"), "labels", 1.0, [sharded], [labels]),
            card(pre / name / "0000.run.json", "preprocess_shard", 75.0, [index, package, *images], [shard_index]),
        ]
        kept = few if name.endswith("few") else test
        kept[name.rsplit("_", 1)[0]] = (shard_index, labels)
    made += [
        card(root / "pretrain" / r.run / f"seed-{s}" / "run.json", "pretrain_encoder", 130.5, [test["p"][0]],
             [root / "pretrain" / r.run / f"seed-{s}" / n for n in ("encoder.safetensors", "history.jsonl")])
        for r in runs if r.method == "pretrained" for s in range(seeds)
    ]  # fmt: skip
    for r, t in ((r, t) for r in runs for t in tasks):
        made += _scored(root, r, t, seeds, few[t], test[t])
    tables = [root / "evaluate" / r.run / t / n for r in runs for t in tasks for n in ("cases.tsv", "scores.parquet")]
    board = root / "leaderboard"
    return [*made, card(board / "run.json", "leaderboard", 1.0, tables, [board / "leaderboard.json"])]


def _scored(root: Path, run: Run, task: str, seeds: int, few: tuple, test: tuple) -> list[Path]:
    """Fine-tuning, prediction and scores of a run on a task."""
    made, predictions = [], []
    for folder in (f"{run.run}/{task}/seed-{s}" for s in range(seeds)):
        seed = folder.rsplit("/", 1)[1]
        encoder = [root / "pretrain" / run.run / seed / "encoder.safetensors"] if run.method == "pretrained" else []
        tuned = [root / "finetune" / folder / n for n in ("model.safetensors", "history.jsonl")]
        predictions.append(root / "predict" / folder / "predictions.tsv")
        made += [
            card(root / "finetune" / folder / "run.json", "finetune_model", 9.25, [*few, *encoder], tuned),
            card(root / "predict" / folder / "run.json", "predict_test", 2.0, [test[0], tuned[0]], predictions[-1:]),
        ]
    tables = [root / "evaluate" / run.run / task / n for n in ("cases.tsv", "scores.parquet")]
    return [*made, card(tables[0].with_name("run.json"), "evaluate_run", 3.0, [test[1], *predictions], tables)]


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
    stable = board.with_name("stability.json")
    leaderboard(world.board_job(runs, config, tasks), cases, scores, board.with_suffix(".csv"), board, stable)
    return job(runs, tasks, seeds, note), board, {**files(root, runs, tasks, seeds, cases), "stability": [stable]}


def job(runs: Sequence[Run], tasks: Sequence[str], seeds: int = 3, note: str = "") -> ReportJob:
    """The report's configuration."""
    made = {"role": "meningioma", "split": "test", "positives": 14, "negatives": 6, "sites": ["B", "C"]}
    return ReportJob(
        experiment="toy", runs=tuple(runs), tasks={t: world.TASKS[t] for t in tasks}, seeds=tuple(range(seeds)),
        datasets={f"{t}_test": {"kind": "cohort", "cohort": made} for t in tasks}, spacing_mm=2.0, note=note,
    )  # fmt: skip


def origins(root: Path, runs: Sequence[Run], tasks: Sequence[str]) -> Path:
    """What the check of the tracks found."""
    found = {
        r.run: {
            "track": r.track, "pretrained_on": ["pretrain"] if r.method == "pretrained" else [],
            "finetuned_on": [f"{t}_few" for t in tasks], "foreign_weights": {},
        }
        for r in runs
    }  # fmt: skip
    write_json(root / "leaderboard/tracks.json", {"tracks": {}, "runs": found})
    return root / "leaderboard/tracks.json"


def files(
    root: Path, runs: Sequence[Run], tasks: Sequence[str], seeds: int, cases: list[Path]
) -> dict[str, list[Path]]:
    """All inputs of the report beside the leaderboard."""
    trained = [(r, t, s) for r in runs for t in tasks for s in range(seeds)]
    labels = [root / "truth" / f"{t}_test" / "labels.tsv" for t in tasks]
    manifests = [root / "raw" / f"{t}_test" / "manifest.parquet" for t in tasks]
    for manifest in manifests:
        manifest.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame({"subject": ["a", "a", "b"], "session": ["1", "1", "1"]}).to_parquet(manifest, index=False)
    pretrain, finetune = root / "pretrain", root / "finetune"
    seeded = [(r, s) for r in runs if r.method == "pretrained" for s in range(seeds)]
    histories = [history(pretrain / r.run / f"seed-{s}" / "history.jsonl", "val_loss", s / 30) for r, s in seeded]
    histories += [
        history(finetune / r.run / t / f"seed-{s}" / "history.jsonl", "val_score", s / 30 + len(r.run) / 50)
        for r, t, s in trained if r.method != "classical"
    ]  # fmt: skip
    shards = []
    if "meningioma" in tasks:
        subjects = [r["subject"] for r in read_table(labels[list(tasks).index("meningioma")])]
        shards.append(shard(root, "meningioma_test", subjects))
    return {
        "tracks": [origins(root, runs, tasks)], "cases": cases, "cards": cards(root, runs, tasks, seeds),
        "histories": histories, "shards": shards,
        "labels": labels,
        "predictions": [root / "predict" / r.run / t / f"seed-{s}" / "predictions.tsv" for r, t, s in trained],
        "manifests": manifests,
    }  # fmt: skip
