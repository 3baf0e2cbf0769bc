"""Guards the way back: after `dvc pull` nothing is planned, whatever the times; what is altered or missing is named."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from pathlib import Path

import pytest
from test_edits import COMPARED, EDITS, END, RUNS, TASKS, jobs, scored, trained

from cairn.provenance.cards import read_card

R = Path("results/ci")


def files(root: Path) -> list[Path]:
    return [p for p in (root / "results").rglob("*") if p.is_file()]


def scramble(root: Path, seed: int) -> None:
    """Give every file of the checkout a time of its own: any order of inputs and outputs."""
    rng = random.Random(seed)
    for path in [*files(root), *(root / "src").rglob("*.py"), *(root / "data").rglob("*")]:
        moment = 1_700_000_000 + rng.randrange(10_000_000)
        os.utime(path, (moment, moment))


def test_a_fresh_clone_plans_nothing_after_dvc_pull(clone):
    assert clone.root.name != "a study"
    assert clone.plan() == set()


@pytest.mark.parametrize("seed", [0, *(pytest.param(s, marks=pytest.mark.slow) for s in (1, 2))])
def test_scrambled_times_plan_nothing_and_hide_nothing(clone, seed):
    scramble(clone.root, seed)
    assert clone.plan() == set()
    edit, expected = EDITS["mask ratio"]
    with edit.made(clone.root):
        assert clone.plan() == expected


def test_restore_finds_everything_as_made_and_puts_times_in_order(clone):
    scramble(clone.root, 9)
    began = time.monotonic()
    printed = clone.cairn("restore")
    assert "are as they were made" in printed
    assert "altered" not in printed
    assert time.monotonic() - began < 60
    encoder = clone.root / R / "pretrain/mae/seed-0/encoder.safetensors"
    card = read_card(encoder.with_name("run.json"))
    assert encoder.stat().st_mtime == pytest.approx(card["finished"], abs=0.002)
    assert clone.plan() == set()


def back(clone) -> None:
    """Bring back what was set aside."""
    clone.run("dvc", "checkout", "-q", "-f")
    shutil.rmtree(clone.root / R / ".state/set_aside", ignore_errors=True)
    assert "are as they were made" in clone.cairn("restore")
    assert clone.plan() == set()


FINETUNED = (
    jobs("finetune_model", run="scratch_ood", task="infarct", seed="0") | jobs("tracks")
    | scored("scratch_ood", "infarct")
)  # fmt: skip
DAMAGES = {
    "pretrain/mae/seed-0/encoder.safetensors": jobs("pretrain_encoder", run="mae", seed="0") | trained("mae", TASKS),
    "finetune/scratch_ood/infarct/seed-0/model.safetensors": FINETUNED,
    "predict/mae/age/seed-0/predictions.tsv": jobs("predict_test", run="mae", task="age", seed="0")
    | jobs("evaluate_run", run="mae", task="age") | END,
    "evaluate/classical/age/scores.parquet": jobs("evaluate_run", run="classical", task="age") | END,
    "leaderboard/leaderboard.json": jobs("leaderboard") | jobs("tables") | jobs("report"),
    # neither is a declared output: the card of the job stands for it
    "preprocess/age_test/0000.safetensors": jobs("preprocess_shard", dataset="age_test", shard="0000")
    | jobs("accept_dataset", dataset="age_test") | jobs("qc") | COMPARED
    | jobs("predict_test", run=RUNS, task="age", seed="0") | jobs("evaluate_run", run=RUNS, task="age") | END,
}  # fmt: skip


@pytest.mark.parametrize("harm", ["altered", pytest.param("missing", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_named_and_only_it_and_its_consumers_are_planned(clone, name, harm):
    path = clone.root / R / name
    data = path.read_bytes()
    was = path.stat()
    path.unlink()
    if harm == "altered":  # one byte, and the time is kept: nothing but the content tells
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    printed = clone.cairn("restore", "--every", ok=False)
    assert f"{harm:<10} {R / name}" in printed
    assert printed.count("made by") == 1
    assert clone.plan() == DAMAGES[name]
    back(clone)


def test_a_missing_file_is_named_and_planned(clone):
    path = R / "evaluate/classical/age/scores.parquet"
    (clone.root / path).unlink()
    assert f"missing    {path}" in clone.cairn("restore", ok=False)
    assert clone.plan() == DAMAGES["evaluate/classical/age/scores.parquet"]
    back(clone)


def test_looking_changes_nothing(clone):
    path = clone.root / R / "evaluate/classical/age/scores.parquet"
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data + b"x")
    printed = clone.cairn("restore", "--check", "--every", ok=False)
    assert f"altered    {R}/evaluate/classical/age/scores.parquet" in printed
    assert path.read_bytes() == data + b"x"
    back(clone)


def test_an_altered_raw_scan_and_an_altered_card_are_named(clone):
    scan = next((clone.root / R / "raw/age_test").rglob("*T1w.nii.gz"))
    card = clone.root / R / "finetune/mae/age/seed-0/run.json"
    kept = scan.read_bytes(), card.read_bytes()
    for path, data in ((scan, kept[0] + b"x"), (card, b"{}")):
        path.unlink()
        path.write_bytes(data)
    printed = clone.cairn("restore", "--every", ok=False)
    assert f"altered    {scan.relative_to(clone.root)}" in printed
    assert f"unreadable {card.relative_to(clone.root)}" in printed
    planned = clone.plan()
    assert jobs("cohort_shard", dataset="age_test", shard="0000") <= planned
    assert jobs("finetune_model", run="mae", task="age", seed="0") <= planned
    assert not jobs("cohort_shard", dataset="infarct_test", shard="0000") & planned
    back(clone)


def test_a_job_refuses_an_input_that_was_altered(clone):
    """What no check has seen yet is caught at the latest by the job that reads it."""
    predictions = clone.root / R / "predict/classical/age/seed-0/predictions.tsv"
    text = predictions.read_text()
    predictions.unlink()
    predictions.write_text(text.replace("\tok", "\tok ", 1))
    printed = clone.run(
        "python", "-m", "snakemake", "--cores", "1", "--configfile", "config/study.yaml", "--nolock",
        str(R / "evaluate/classical/age/scores.parquet"), ok=False,
    )  # fmt: skip
    assert "altered after it was made" in printed
    assert "cairn restore" in printed
    clone.cairn("restore", "--every", ok=False)
    back(clone)


def test_lost_records_are_told(clone):
    metadata = clone.root / ".snakemake/metadata"
    metadata.rename(metadata.with_name("metadata.away"))
    printed = clone.cairn("restore", ok=False)
    assert "the workflow keeps no record" in printed
    assert "dvc pull" in printed
    metadata.with_name("metadata.away").rename(metadata)
    assert "no record" not in clone.cairn("restore")


def test_planning_reads_no_shard_however_large(clone):
    """Shards of 100 GB in all: the plan neither reads them nor takes longer for them."""
    shards = sorted((clone.root / R / "preprocess").rglob("*.safetensors"))
    sizes = {p: p.stat().st_size for p in shards}
    each = 100 * 10**9 // len(shards) + 1
    for path in shards:
        os.truncate(path, each)  # sparse: no disk is used
    try:
        assert sum(p.stat().st_size for p in shards) > 100 * 10**9
        before = read_bytes()
        assert clone.plan() == set()
        assert read_bytes() - before < 200e6
    finally:
        for path, size in sizes.items():
            os.truncate(path, size)
        clone.cairn("restore", "--every")


def read_bytes() -> int:
    """Bytes that this process has read, from disk or cache."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["rchar"])


def test_every_job_has_a_card_that_names_all_it_made(clone):
    made = {o for p in (clone.root / "results").rglob("*run.json") for o in json.loads(p.read_text())["outputs"]}
    skipped = (".state", "logs", "benchmarks", "config.json", "tokens", ".snakemake_timestamp")
    there = {p.relative_to(clone.root) for p in files(clone.root) if not p.name.endswith("run.json")}
    unnamed = [p for p in there if p.as_posix() not in made and not any(part in skipped for part in p.parts)]
    assert not unnamed, sorted(unnamed)[:10]
