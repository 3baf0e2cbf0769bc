"""A repository with a finished experiment in it: nine stages, small real files, cards with true hashes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cairn.io.atomic import sha256, write_json, write_text
from cairn.provenance.code import code_hash

R = "results/tiny"
PACKAGE = "results/resources/packages/heads.whl"
SHARD = f"{R}/preprocess/age/0000.safetensors"
MODEL = f"{R}/finetune/mae/age/seed-0/model.safetensors"
BOARD = f"{R}/leaderboard/leaderboard.json"
PAGE = f"{R}/report/index.html"
STAGES = {
    "fetch_package": "Bring one pinned archive and check its SHA-256.", "cohort_shard": "Make one shard of raw scans.",
    "preprocess_shard": "Preprocess one shard.", "pretrain_encoder": "Pretrain one encoder.",
    "finetune_model": "Fine-tune one model.", "predict_test": "Predict the test set.", "evaluate_run": "Score one run.",
    "leaderboard": "Rank all runs.", "report": "Write the page.",
}  # fmt: skip
LOCK = """\
numpy==2.3.5 \\
    --hash=sha256:{a} \\
    --hash=sha256:{b}
snakemake==9.27.1 \\
    --hash=sha256:{b}
Some_Thing==1.0 \\
    --hash=sha256:{a}
""".format(a="a" * 64, b="b" * 64)


def make_repository(root: Path) -> Path:
    """Source, locks and configuration of a small workflow; returns ``root``."""
    for stage, doc in STAGES.items():
        write_text(root / f"workflow/scripts/{stage}.py", f'"""{doc}"""\n\nfrom cairn.tiny import work\n\nwork()\n')
    write_text(root / "Snakefile", '"""A small workflow."""\n\ninclude: "rules/all.smk"\n')
    write_text(root / "rules/all.smk", "rule all:\n    input: []\n")
    write_text(root / "src/cairn/__init__.py", "")
    write_text(root / "src/cairn/tiny.py", "def work():\n    return 1  # one\n")
    write_text(root / "src/cairn/__pycache__/tiny.pyc", "left behind")
    write_text(root / "config/tiny.yaml", "name: tiny\n")
    write_text(root / "envs/requirements-py311.lock", LOCK)
    write_text(root / "envs/requirements.in", "# torch stands here alone\ntorch==2.13.0\nnumpy==2.3.5\nsnakemake\n")
    write_text(root / "pyproject.toml", '[project]\nname = "cairn"\nversion = "0.1.0"\n')
    write_text(root / "docs/reference/contracts.md", "# Data contracts\n")
    return root


def make_card(root: Path, card: str, stage: str, inputs: list[str], outputs: list[str], minute: int) -> None:
    """Write a card whose hashes are those of the files that lie there."""
    script = root / f"workflow/scripts/{stage}.py"
    facts: dict[str, Any] = {
        "format": 2, "stage": stage, "code": code_hash(script, root / "src"), "config": {"seed": minute},
        "config_sha256": "0" * 64, "inputs": {path: sha256(root / path) for path in inputs},
        "outputs": {path: sha256(root / path) for path in outputs},
        "environment": {"pins": "0" * 16, "python": "3.11.7", "packages": {"numpy": "2.3.5"}},
        "hardware": {"machine": "x86_64", "processor": "Some CPU", "cores": 2},
        "started": f"2026-11-24T18:{minute:02d}:00+00:00", "finished": 1795545000.25 + 60 * minute,
        "wall_s": 1.5, "cpu_s": 1.25, "peak_memory_mb": 100.0, "provenance_s": 0.01, "facts": {},
    }  # fmt: skip
    write_json(root / card, facts)


def make_run(root: Path, outside: Path) -> Path:
    """A repository and its finished experiment.

    Args:
        root: folder to make.
        outside: label table to make, elsewhere; its name may hold anything.

    Returns:
        Folder of the experiment.
    """
    make_repository(root)
    write_text(outside, "subject\tvalue\n0001\t63\n")
    write_json(root / R / "config.json", {"name": "tiny"})
    scan, index = f"{R}/raw/age/sub-0001/anat/sub-0001_T1w.nii.gz", f"{R}/raw/age/index/0000.tsv"
    quarantine = [f"{R}/preprocess/age/0000.quarantine.tsv", f"{R}/preprocess/age/0001.quarantine.tsv"]
    encoder, predictions = f"{R}/pretrain/mae/seed-0/encoder.safetensors", f"{R}/predict/mae/age/seed-0/predictions.tsv"
    cases, scores = f"{R}/evaluate/mae/age/cases.tsv", f"{R}/evaluate/mae/age/scores.parquet"
    # The two quarantine tables are empty alike: a hash alone would not tell them apart.
    jobs = [
        (f"{PACKAGE}.run.json", "fetch_package", [], [PACKAGE]),
        (f"{R}/raw/age/index/0000.run.json", "cohort_shard", [PACKAGE], [scan, index]),
        (f"{R}/preprocess/age/0000.run.json", "preprocess_shard", [index, scan], [SHARD, *quarantine]),
        (f"{R}/pretrain/mae/seed-0/run.json", "pretrain_encoder", [SHARD], [encoder]),
        (f"{R}/finetune/mae/age/seed-0/run.json", "finetune_model", [SHARD, encoder, outside.as_posix()], [MODEL]),
        (f"{R}/predict/mae/age/seed-0/run.json", "predict_test", [SHARD, MODEL], [predictions]),
        (f"{R}/evaluate/mae/age/run.json", "evaluate_run", [predictions, outside.as_posix()], [cases, scores]),
        (f"{R}/leaderboard/run.json", "leaderboard", [cases, scores], [f"{R}/leaderboard/leaderboard.csv", BOARD]),
        (f"{R}/report/run.json", "report", [BOARD, f"{R}/leaderboard/run.json"], [PAGE]),
    ]
    for minute, (card, stage, inputs, outputs) in enumerate(jobs):
        for path in outputs:
            write_text(root / path, "" if path in quarantine else f"made by {stage}: {path}\n")
        make_card(root, card, stage, inputs, outputs, minute)
    # Another experiment's package: no part of this run.
    other = "results/resources/packages/other.whl"
    write_text(root / other, "other\n")
    make_card(root, f"{other}.run.json", "fetch_package", [], [other], 30)
    return root / R
