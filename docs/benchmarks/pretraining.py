"""What a step of each objective costs, and how much of it is making views: samples a second against the step's floor.

python docs/benchmarks/pretraining.py results/demo config/demo.yaml config/study_cpu.yaml

From the repository's folder, with the experiment's pretraining set preprocessed. The floor is the same step on a batch
that lies ready on the device; what the loop loses against it is the loader's. Runs on a GPU where there is one.
"""

import platform
import sys
import time
from pathlib import Path

import torch
import yaml
from snakemake.utils import update_config

from cairn.io.sessions import open_sessions
from cairn.plan import Plan
from cairn.train.devices import compile_encoder, precision, set_up
from cairn.train.optim import make_optimizer
from cairn.train.pretrain import PretrainJob, PretrainProblem

STEPS, WARM = 12, 3


def seconds(step, device: torch.device) -> float:
    """Mean time of a step, after some that do not count."""
    for number in range(WARM + STEPS):
        if number == WARM:
            began = time.perf_counter()
        step(number)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / STEPS


def measure(job: PretrainJob, sessions: list, device: torch.device) -> tuple[float, float]:
    """Seconds of making a batch, and of a whole update on a batch that is there."""
    problem = PretrainProblem(job, sessions)
    module = problem.module.to(device)
    compile_encoder(module, device, job.pretrain.compile)
    module.train()
    optimizer = make_optimizer(module, job.pretrain)
    ready = {k: v.to(device) for k, v in problem.batch(0).items()}

    def update(number: int) -> None:
        optimizer.zero_grad(set_to_none=True)
        with precision(device):
            loss = module(ready)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            module.after_update(number + 1)

    return seconds(problem.batch, device), seconds(update, device)


def main(results: str, *configs: str) -> None:
    """Measure every pretrained row of the runs table, and print a table."""
    config: dict = {}
    for path in configs:
        update_config(config, yaml.safe_load(Path(path).read_text()))
    plan = Plan(config, Path.cwd())
    device = set_up("auto", 1, deterministic=False)
    print("| run | objective | network | views ms | update ms | samples/s | floor | loader's share |")
    print("|---|---|---|--:|--:|--:|--:|--:|")
    for run in plan.pretrained_runs:
        row = plan.runs[run]
        shards = sorted(Path(results, "preprocess", row.pretrain_data).glob("*.index.tsv"))
        job = PretrainJob.model_validate_json(plan.pretrain_job(run, "0"))
        views, update = measure(job, open_sessions(shards), device)
        size = job.pretrain.batch_size
        whole = views + update if device.type == "cpu" else max(views / 4, update)  # four threads make views ahead
        cells = (f"{1000 * views:.0f}", f"{1000 * update:.0f}", f"{size / whole:.1f}", f"{size / update:.1f}")
        share = (whole - update) / whole
        print(f"| {run} | {row.objective} | {row.network} | {' | '.join(cells)} | {share:.0%} |", flush=True)
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or platform.machine()
    load = Path("/proc/loadavg").read_text().split()[0]
    print(f"\n{name}, one thread, load {load}, torch {torch.__version__}")


main(*sys.argv[1:])
