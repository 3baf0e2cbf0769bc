"""What pretraining with each objective costs: samples a second against the step's floor, and the loader's share.

python docs/benchmarks/pretraining.py config/demo.yaml config/study_cpu.yaml
python docs/benchmarks/pretraining.py config/demo.yaml config/demo_large.yaml config/study_gpu.yaml      # with a GPU

From the repository's folder; runs on a GPU where there is one, or where --device says. Every pretrained row of the runs
table trains for some steps, as in an experiment: views made ahead, augmented on the device, convolutions channels last,
bfloat16, compiled (on a CPU none of these). The floor is the same update on one batch of views that lies ready on the
device. What is lost against it is reading, copying and augmenting; the loader's share is the part of the time in which
the step waited for a batch. The sessions are made up, of the size of a head at the configuration's spacing; --data
takes an experiment's.
"""

import argparse
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import yaml
from snakemake.utils import update_config

from cairn.io.sessions import Session, open_sessions
from cairn.io.shard import PreprocessedSession, SequenceGeometry, SessionGeometry, write_shard
from cairn.io.tables import SHARD_COLUMNS, write_table
from cairn.plan import Plan
from cairn.train.devices import for_speed, set_up
from cairn.train.feed import Batch, Feed
from cairn.train.loop import Loop
from cairn.train.pretrain import PretrainJob, PretrainProblem
from cairn.train.state import StateFolder

HEAD_MM = (160, 195, 165)
SEQUENCES = ("FLAIR", "T1w")
COLUMNS = ("run", "objective", "network", "batch", "augments", "samples/s", "floor", "of the floor", "loader's share")


def made_up(folder: Path, spacing_mm: float, count: int) -> list[Session]:
    """Sessions of noise in an ellipsoid, of the size of a head."""
    shape = tuple(int(side / spacing_mm) for side in HEAD_MM)
    middle = (np.array(shape) - 1) / 2
    mask = sum(((g - m) / (m + 1)) ** 2 for g, m in zip(np.ogrid[tuple(map(slice, shape))], middle, strict=True)) <= 1
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    natives = {name: SequenceGeometry(shape, affine, np.eye(4)) for name in SEQUENCES}
    sessions = []
    for number in range(count):
        draw = np.random.default_rng(number)
        volumes = {name: draw.standard_normal(shape, np.float32) * mask for name in SEQUENCES}
        geometry = SessionGeometry(shape, affine, natives)
        sessions.append(PreprocessedSession(f"{number:04d}", "1", volumes, mask, geometry))
    write_shard(folder / "0000.safetensors", sessions)
    rows = [
        {
            "subject": s.subject, "session": s.session, "sequences": ",".join(SEQUENCES),
            "shape": "x".join(map(str, shape)), "shard_sha256": "0" * 64, "session_sha256": "0" * 64,
        }
        for s in sessions
    ]  # fmt: skip
    write_table(folder / "0000.index.tsv", rows, SHARD_COLUMNS)
    return open_sessions([folder / "0000.index.tsv"])


def rate(loop: Loop, batches: Iterator[Batch], warm: int, feed: Feed | None = None) -> tuple[float, float]:
    """Samples a second of updates, and the share of the time in which they waited for ``feed``.

    The first ``warm`` updates do not count: they compile, and fill what is made ahead. On a CPU, where other work may
    share the cores, a second is one of this process.
    """
    clock = time.perf_counter if loop.device.type == "cuda" else time.process_time
    steps, began, wall, waited = 0, clock(), time.monotonic(), 0.0
    for number, batch in enumerate(batches):
        loop._update(batch)  # what the loop does; it reads the loss
        if number + 1 == warm:
            _wait(loop.device)
            began, wall, waited = clock(), time.monotonic(), feed.waited_s if feed else 0.0
        steps += number >= warm
    _wait(loop.device)
    share = (feed.waited_s - waited) / (time.monotonic() - wall) if feed else 0.0
    return steps * loop.config.batch_size / (clock() - began), share


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(job: PretrainJob, sessions: list[Session], device: torch.device, warm: int, steps: int) -> list[str]:
    """Cells of a run's row."""
    problem = PretrainProblem(job, sessions, device=device)
    for_speed(problem.module, device, job.pretrain)
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(problem, job.pretrain, StateFolder(Path(folder), "benchmark"), device)
        feed = Feed(problem.batch, device)
        whole, share = rate(loop, feed.batches(range(warm + steps)), warm, feed)
        where = problem.augment_on
        with torch.no_grad():
            ready = problem.augmented({k: v.to(device) for k, v in problem.batch(0).items()})
        problem.augment_on = "cpu"  # the batch is augmented: nothing is left to do with it
        floor, _ = rate(loop, iter([ready] * (warm + steps)), warm)
    return [str(job.pretrain.batch_size), where, f"{whole:.1f}", f"{floor:.1f}", f"{whole / floor:.0%}", f"{share:.0%}"]


def hardware(device: torch.device, threads: int) -> str:
    """What a table was measured on."""
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or platform.machine()
    load = Path("/proc/loadavg").read_text().split()[0]
    return f"{name}, {threads} thread(s) of torch, load {load}, torch {torch.__version__}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure pretrained rows of the runs table, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="+", type=Path, help="configuration files, laid over one another")
    parser.add_argument("--data", type=Path, help="an experiment's folder of results; default: made-up sessions")
    parser.add_argument("--sessions", type=int, default=8, help="made-up sessions")
    parser.add_argument("--runs", help="names of runs, with commas; default: all that are pretrained")
    parser.add_argument("--steps", type=int, default=20, help="updates that are timed")
    parser.add_argument("--warm", type=int, default=5, help="updates before them")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a GPU if there is one")
    given = parser.parse_args(arguments)
    config: dict = {}
    for path in given.configs:
        update_config(config, yaml.safe_load(path.read_text()))
    plan = Plan(config, Path.cwd())
    device = set_up(given.device, given.threads, deterministic=plan.experiment.pretrain.deterministic)
    print(f"| {' | '.join(COLUMNS)} |\n|---|---|---|--:|---|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        made = [] if given.data else made_up(Path(folder), plan.experiment.preprocess.grid.spacing_mm, given.sessions)
        for run in given.runs.split(",") if given.runs else plan.pretrained_runs:
            row, job = plan.runs[run], PretrainJob.model_validate_json(plan.pretrain_job(run, "0"))
            found = given.data and sorted((given.data / "preprocess" / row.pretrain_data).glob("*.index.tsv"))
            sessions = open_sessions(found) if found else made
            cells = measure(job, sessions, device, given.warm, given.steps)
            print(f"| {' | '.join((run, row.objective, row.network, *cells))} |", flush=True)
    print(f"\n{hardware(device, given.threads)}")


if __name__ == "__main__":
    main()
