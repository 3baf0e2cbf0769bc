"""What Curia costs: images a second of pretraining with objective `curia`, and of feature extraction.

python docs/benchmarks/curia.py                                         # chooses by the device
python docs/benchmarks/curia.py --cases vit_b:224,vit_b:512 --batch 16  # a network and the side of its images
python docs/benchmarks/curia.py --cases vit_b:224:features              # no pretraining

From the repository's folder; runs on a GPU where there is one. An image of pretraining is a slice: two global and some
local crops are cut from it, student and teacher see them. The loop is that of an experiment, the floor its update alone
on one batch of crops that lies ready on the device; what is lost against it is reading and cutting slices. Extraction
is `SliceEncoder.tokens` on a batch that lies ready, in the precision of an experiment. A network comes with the
objective of the fewest configuration files that name it, in order, laid over one another; at another side, crops
shrink as they do in Curia-2's stages. One process and one device, whatever the configuration asks for.
Sessions are made up.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from pretraining import hardware, made_up, measure
from snakemake.utils import update_config

from cairn.config.experiment import ExperimentConfig
from cairn.io.sessions import open_sessions
from cairn.nets.blocks import parameters
from cairn.nets.registry import build_slice_encoder
from cairn.nets.slice_encoder import BATCH
from cairn.plan import Plan
from cairn.train.devices import precision, set_up
from cairn.train.pretrain import PretrainJob

CONFIGS = (Path("config/curia.yaml"), Path("config/curia_large.yaml"))
CASES = {"cpu": "vit_tiny:64,vit_b:224:features", "cuda": "vit_b:224,vit_b:512"}
FEATURE_STEPS = {"cpu": 2, "cuda": 50}
COLUMNS = ("network", "px", "parameters", "batch", "pretraining", "floor", "of the floor", "loader's share", "features")
ONE_PROCESS = {"processes": 1, "checkpoint_activations": False}


@dataclass(frozen=True)
class Case:
    """A network, the side of its images, and whether it is pretrained."""

    network: str
    px: int
    pretrain: bool


def case(text: str) -> Case:
    """``network:px`` or ``network:px:features``."""
    network, px, *rest = text.split(":")
    if rest not in ([], ["features"]):
        raise ValueError(text)
    return Case(network, int(px), not rest)


def experiment_of(network: str, paths: Sequence[Path]) -> ExperimentConfig:
    """The experiment of the first files that have a network."""
    config: dict = {}
    for path in paths:
        update_config(config, yaml.safe_load(path.read_text()))
        if network in config["networks"]:
            return Plan(config, Path.cwd()).experiment
    raise SystemExit(f"No network '{network}' in {', '.join(map(str, paths))}.")


def pretrain_job(of: Case, e: ExperimentConfig, batch: int | None) -> PretrainJob:
    """A pretraining of a case: the objective `curia` at one resolution."""
    objective = e.objectives["curia"].model_dump(mode="json")
    objective["contract"]["size_px"] = of.px
    objective["stages"] = [{"px": of.px, "from_step": 0}]
    budget = e.pretrain.model_dump(mode="json")
    budget |= {"batch_size": batch or e.pretrain.batch_size // e.pretrain.processes, **ONE_PROCESS}
    network = e.networks[of.network].model_dump(mode="json")
    job = {"run": of.network, "seed": 0, "network": network, "objective": objective, "pretrain": budget}
    return PretrainJob.model_validate(job)


def features_a_second(of: Case, e: ExperimentConfig, device: torch.device, warm: int, steps: int) -> tuple[float, int]:
    """Images a second of a frozen encoder, and its parameters. On a CPU a second is one of this process."""
    encoder = build_slice_encoder(e.networks[of.network]).eval().requires_grad_(False).to(device)
    x_N1HW = torch.randn((BATCH, 1, of.px, of.px), generator=torch.Generator().manual_seed(0)).to(device)
    clock, began = (time.perf_counter if device.type == "cuda" else time.process_time), 0.0
    with torch.inference_mode(), precision(device):
        for number in range(warm + steps):
            if number == warm:
                began = _now(clock, device)
            encoder.tokens(x_N1HW)
        spent = _now(clock, device) - began
    return steps * BATCH / spent, parameters(encoder)


def _now(clock, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock()


def row(of: Case, paths: Sequence[Path], device: torch.device, given: argparse.Namespace) -> list[str]:
    """Cells of a case."""
    e, cells = experiment_of(of.network, paths), ["–"] * 5
    if of.pretrain:
        with tempfile.TemporaryDirectory() as folder:
            made_up(Path(folder), e.preprocess.grid.spacing_mm, given.sessions)
            sessions = open_sessions(sorted(Path(folder).glob("*.index.tsv")))
            made = measure(pretrain_job(of, e, given.batch), sessions, device, given.warm, given.steps)
        cells = [made[0], *made[2:]]  # crops are always cut on the CPU
    rate, count = features_a_second(of, e, device, 1, given.feature_steps or FEATURE_STEPS[device.type])
    return [of.network, str(of.px), f"{count / 1e6:.1f} M", *cells, f"{rate:.1f}"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure cases, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="*", type=Path, default=CONFIGS, help="configuration files, small ones first")
    parser.add_argument("--cases", help="network:px or network:px:features, with commas; default: by the device")
    parser.add_argument("--batch", type=int, help="slices a step; default: the configuration's, for one process")
    parser.add_argument("--sessions", type=int, default=8, help="made-up sessions")
    parser.add_argument("--steps", type=int, default=20, help="updates that are timed")
    parser.add_argument(
        "--feature-steps", type=int, help="batches of extraction that are timed; default: 2, on a GPU 50"
    )
    parser.add_argument("--warm", type=int, default=5, help="updates before them; of extraction, 1")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    given = parser.parse_args(arguments)
    device = set_up(given.device, given.threads, deterministic=False)
    print(f"| {' | '.join(COLUMNS)} |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for text in (given.cases or CASES[device.type]).split(","):
        print(f"| {' | '.join(row(case(text), given.configs, device, given))} |", flush=True)
    print(f"\n{hardware(device, given.threads)}")


if __name__ == "__main__":
    main()
