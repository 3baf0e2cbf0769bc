"""Guards DVC's half: what it keeps comes back whole, Snakemake alone decides what runs, metrics and plots are shown."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from studies import CONFIG, Study

REPO = Path(__file__).resolve().parents[2]


def ran(printed: str) -> set[str]:
    """Rules of the jobs that Snakemake finished, in what `dvc repro` printed."""
    return set(re.findall(r"\(Rule: (\w+)\)", printed)) - {"all", "fetch", "cohort", "preprocess", "pretrain"} - {
        "finetune", "evaluate", "apply",
    }  # fmt: skip


def test_analytics_and_update_checks_are_off():
    settings = (REPO / ".dvc/config").read_text()
    assert re.search(r"analytics\s*=\s*false", settings)
    assert re.search(r"check_update\s*=\s*false", settings)


def test_the_stages_are_few_and_keep_what_they_made():
    stages = yaml.safe_load((REPO / "dvc.yaml").read_text())["stages"]
    outs = [out for stage in stages.values() for out in stage["outs"]]
    assert len(stages) <= 8
    assert len(outs) <= 20
    assert all(options == {"persist": True} for out in outs for options in out.values())


def test_a_finished_tree_is_up_to_date_and_repro_runs_no_stage(pushed):
    began = time.monotonic()
    assert "up to date" in pushed.run("dvc", "status")
    assert time.monotonic() - began < 60  # seconds here; a minute would be hashing everything again
    printed = pushed.run("dvc", "repro")
    assert "up to date" in printed
    assert "Running stage" not in printed


def test_repro_does_after_an_edit_what_snakemake_would(clone):
    note = clone.root / CONFIG
    before = note.read_text()
    note.write_text(before.replace("A test of the machinery", "Only a test of the machinery"))
    planned = {rule for rule, _ in clone.plan()}
    assert planned == {"report"}
    assert ran(clone.run("dvc", "repro")) == planned
    assert clone.plan() == set()
    assert "up to date" in clone.run("dvc", "status")
    note.write_text(before)
    clone.run("dvc", "checkout", "-q", "-f")  # the lock is still that of the edit: bring back that of the clone
    clone.run("git", "checkout", "-q", "dvc.lock")
    clone.run("dvc", "checkout", "-q", "-f")
    assert clone.plan() == set()


@pytest.mark.slow
def test_a_comment_makes_repro_ask_snakemake_which_runs_nothing(clone):
    source = clone.root / "src/cairn/train/loop.py"
    before = source.read_bytes()
    source.write_bytes(before + b"# a comment\n")
    printed = clone.run("dvc", "repro", "evaluate")
    assert "Running stage 'evaluate'" in printed
    assert ran(printed) == set()
    source.write_bytes(before)
    clone.run("git", "checkout", "-q", "dvc.lock")


def test_metrics_show_the_leaderboard(pushed):
    shown = json.loads(pushed.run("dvc", "metrics", "show", "--json"))
    values = shown[""]["data"]["results/ci/leaderboard/metrics.json"]["data"]
    board = json.loads((pushed.root / "results/ci/leaderboard/leaderboard.json").read_text())
    for row in board["rows"]:
        for task, score in row["scores"].items():
            for metric, value in score["metrics"].items():
                assert values[row["run"]][task][metric] == value["value"]


def test_metrics_and_parameters_differ_between_commits(clone):
    metrics = clone.root / "results/ci/leaderboard/metrics.json"
    before, config = metrics.read_text(), (clone.root / CONFIG).read_text()
    changed = json.loads(before)
    changed["mae"]["age"]["mae"] += 1.0
    metrics.unlink()  # a link into DVC's cache would be written through
    metrics.write_text(json.dumps(changed))
    (clone.root / CONFIG).write_text(config.replace("steps: 12", "steps: 13"))
    try:
        diff = json.loads(clone.run("dvc", "metrics", "diff", "--json"))
        assert diff["results/ci/leaderboard/metrics.json"]["mae.age.mae"]["diff"] == pytest.approx(1.0)
        parameters = json.loads(clone.run("dvc", "params", "diff", "--json"))
        assert parameters[CONFIG]["pretrain.steps"] == {"old": 12, "new": 13, "diff": 1}
    finally:
        metrics.write_text(before)
        (clone.root / CONFIG).write_text(config)


def test_plots_show_scores_and_curves(pushed, tmp_path):
    pushed.run("dvc", "plots", "show", "-o", str(tmp_path / "plots"))
    page = (tmp_path / "plots/index.html").read_text()
    assert "pretrain_mae_0.csv" in page
    assert "age_mae.csv" in page


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def bucket():
    """An S3 server on loopback, with one bucket."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        import boto3

        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", **keys).create_bucket(Bucket="cairn")
        yield port
    finally:
        server.kill()
        server.wait()


def test_results_go_to_an_s3_server_and_come_back(pushed, bucket, tmp_path):
    login = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    address = ("dvc", "remote", "modify", "--local", "s3", "endpointurl", f"http://127.0.0.1:{bucket}")
    pushed.run("dvc", "remote", "add", "--local", "s3", "s3://cairn/study")
    pushed.run(*address)
    pushed.run("dvc", "push", "-q", "-r", "s3", "report", "evaluate", **login)
    other = Study(tmp_path / "from s3")
    pushed.run("git", "clone", "-q", str(pushed.root), str(other.root))
    other.run("dvc", "remote", "add", "--local", "s3", "s3://cairn/study")
    other.run(*address)
    other.run("dvc", "pull", "-q", "-r", "s3", "report", "evaluate", **login)
    for name in ("leaderboard/leaderboard.csv", "evaluate/mae/age/scores.parquet", "report/index.html"):
        path = Path("results/ci") / name
        assert (other.root / path).read_bytes() == (pushed.root / path).read_bytes(), name
    records = ".snakemake/metadata"
    assert sorted(os.listdir(other.root / records)) == sorted(os.listdir(pushed.root / records))
