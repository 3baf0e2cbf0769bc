"""Guards interruption: Snakemake and its jobs are SIGKILLed, and the same command goes on and ends with the same bytes.

Either the main process alone is killed, so that its jobs live on, or it and all its jobs at once.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from cairn.io.atomic import sha256

CI = ("--configfile", "config/ci.yaml")
R = Path("results/ci")
ENCODER = R / "pretrain/mae/seed-0/encoder.safetensors"
SHARD = R / "preprocess/pretrain/0000.safetensors"
CARDS = ("run.json", ".jsonl", ".log", ".png", ".html")  # hold times


class Runs:
    """Runs of Snakemake in a copy of the finished experiment, each in a session of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.started: list[subprocess.Popen] = []

    def start(self, *targets: str) -> subprocess.Popen:
        """Start the plain command."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        log = (self.root / f"run-{len(self.started)}.log").open("wb")
        run = subprocess.Popen(
            [sys.executable, "-m", "snakemake", "--cores", "2", *targets, *CI], cwd=self.root, stdout=log, stderr=log,
            env=os.environ | {"PYTHONPATH": str(self.root / "src"), "PATH": path}, start_new_session=True,
        )  # fmt: skip
        self.started.append(run)
        return run

    def said(self) -> str:
        """What the last run printed."""
        return (self.root / f"run-{len(self.started) - 1}.log").read_text()

    def kill(self, run: subprocess.Popen, jobs_too: bool) -> None:
        """SIGKILL the main process, or all that it started with it."""
        (os.killpg if jobs_too else os.kill)(run.pid, signal.SIGKILL)
        run.wait()

    def wait_for(self, run: subprocess.Popen, pattern: str) -> None:
        """Until a file of this pattern is there; the run must not end before."""
        while not list((self.root / R).glob(pattern)):
            assert run.poll() is None, self.said()[-3000:]
            time.sleep(0.02)

    def stop(self) -> None:
        """End what is left."""
        for run in self.started:
            with suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)


@pytest.fixture
def runs(finished, tmp_path: Path):
    root = tmp_path / "interrupted"
    shutil.copytree(finished.root, root, symlinks=True)
    runs = Runs(root)
    yield runs
    runs.stop()


def forget(root: Path, *places: str) -> None:
    """Remove results and training states, so that the plain command must make them."""
    for place in places:
        for path in (root / R).glob(place):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_killed_in_preprocess_and_in_training_the_same_command_goes_on(finished, runs):
    forget(runs.root, "preprocess/pretrain/0000.*", "pretrain/mae/seed-0", ".state/pretrain/*")
    target = str(ENCODER)
    one = runs.start(target)
    runs.wait_for(one, ".state/preprocess/pretrain-0000/*/result.json")
    runs.kill(one, jobs_too=False)  # its job goes on by itself
    two = runs.start(target)
    assert "pretrain_encoder" in plan_beside(replace(finished, root=runs.root), target)
    runs.wait_for(two, ".state/pretrain/mae-0/*/state-*.safetensors")
    assert "a run that was killed left its locks" in runs.said()
    runs.kill(two, jobs_too=True)
    three = runs.start(target)
    assert three.wait() == 0, runs.said()[-3000:]
    for name in (ENCODER, SHARD):
        assert sha256(runs.root / name) == sha256(finished.root / name), name
    shard = (runs.root / R / "logs/preprocess_shard/pretrain-0000.log").read_text()
    assert "2 sessions are there already" in shard  # 1 of 2, or all of 2: what the job that lived on had made
    assert "goes on after step" in (runs.root / R / "logs/pretrain_encoder/mae-0.log").read_text()
    assert not list((runs.root / R / ".state/preprocess").iterdir())


def plan_beside(checkout, target: str, tries: int = 5) -> str:
    """A plan beside a living run. That run may remove a file between Snakemake's two looks at it: then ask again."""
    for _ in range(tries - 1):
        with suppress(AssertionError):
            return checkout.plan(target, *CI)
    return checkout.plan(target, *CI)


def results(root: Path) -> dict[str, str]:
    """Hash of every result that holds no time."""
    folders = ("preprocess", "pretrain", "finetune", "predict", "evaluate", "leaderboard", "truth", "raw")
    files = [p for folder in folders for p in (root / R / folder).rglob("*") if p.is_file()]
    return {str(p.relative_to(root)): sha256(p) for p in files if not p.name.endswith(CARDS)}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random_moments_everything_ends_the_same(finished, runs, seed):
    """From preprocessing of three sets to the leaderboard, killed every few seconds, with and without its jobs."""
    draw = random.Random(seed)
    before = results(finished.root)
    forget(runs.root, "preprocess/age_*/*", "preprocess/pretrain/*", "pretrain/mae/*", "finetune/*/age/*")
    forget(runs.root, ".state/*", "predict/*/age/*", "evaluate/*/age/*", "leaderboard/*")
    done = False
    for kill in range(12):
        run = runs.start()
        with suppress(subprocess.TimeoutExpired):
            done = run.wait(draw.uniform(3, 40)) == 0
        if done:
            break
        assert run.poll() is None, runs.said()[-3000:]
        runs.kill(run, jobs_too=bool(kill % 2))
    if not done:
        assert runs.start().wait() == 0, runs.said()[-3000:]
    assert results(runs.root) == before
    plan = replace(finished, root=runs.root).plan(*CI)
    assert "Nothing to be done" in plan, plan[-3000:]


@pytest.mark.slow
def test_a_second_run_of_the_same_files_is_still_refused(finished, runs):
    forget(runs.root, "preprocess/pretrain/0000.*")
    run = runs.start(str(SHARD))
    runs.wait_for(run, ".state/preprocess/pretrain-0000/lock")
    printed = replace(finished, root=runs.root).snakemake(str(SHARD), *CI, ok=False)
    assert "killed" not in printed
    assert "unlock" in printed
    assert list((runs.root / ".snakemake/locks").glob("*.lock"))
    assert run.wait() == 0, runs.said()[-3000:]


def test_another_share_of_bad_scans_is_judged_by_a_small_job_and_does_nothing_again(finished, runs):
    (runs.root / "strict.yaml").write_text(json.dumps({"preprocess": {"max_bad_share": 0.1}}))
    plan = replace(finished, root=runs.root).plan(*CI, "strict.yaml")
    assert re.findall(r"^(\w+) +\d+$", plan.split("Job stats:")[1], re.M) == [
        "accept_dataset",
        "report",
        "all",
        "total",
    ]
