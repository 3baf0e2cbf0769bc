"""Pretraining: an objective on a data set, to an encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from cairn.config.base import Section, parse
from cairn.config.networks import NetworkConfig
from cairn.config.objectives import ObjectiveConfig
from cairn.config.training import Device, PretrainConfig
from cairn.errors import CairnError
from cairn.io.atomic import remove_left_overs, sha256, write_text
from cairn.io.sessions import Session, open_sessions
from cairn.nets.blocks import parameters
from cairn.nets.weights import save_weights
from cairn.ssl.collapse import refuse_collapse, watch
from cairn.ssl.cuts import AugmentedObjective, Cuts, changed, stack
from cairn.ssl.draws import derived_seed, generator, shuffled
from cairn.ssl.objective import Objective
from cairn.ssl.pace import Pace
from cairn.ssl.registry import build_objective
from cairn.train.deferred import Start, outlined
from cairn.train.devices import describe, for_speed, numerics, set_up
from cairn.train.distributed import ALONE, Processes, joined, spread
from cairn.train.feed import Batch
from cairn.train.history import Record, lines
from cairn.train.launch import launch
from cairn.train.loop import Loop, Problem, Result
from cairn.train.split import split_subjects, subset
from cairn.train.state import open_states, state_key

CPU = torch.device("cpu")
WATCHED = 16
"""Sessions whose embeddings are watched; where fewer are held back, training sessions fill up."""
WITHOUT_EFFECT = {"steps", "nodes", "state_every", "min_feature_std", "min_effective_rank"}
"""What may change between a state and the run that goes on from it: none decides what an update does."""


class PretrainJob(Section):
    """Configuration of one pretraining."""

    run: str
    """The run."""
    seed: int
    """Decides start, split, order, views."""
    network: NetworkConfig
    """The encoder."""
    objective: ObjectiveConfig
    """What it learns from."""
    data_fraction: float = 1.0
    """Share of the training subjects that is used."""
    pretrain: PretrainConfig = PretrainConfig()
    """Budget and optimiser."""
    device: Device = "auto"
    """Where it runs."""


class PretrainProblem(Problem):
    """Sessions and an objective, as the loop wants them.

    Args:
        job: configuration.
        sessions: unlabelled sessions.
        processes: those that share a batch.
        device: where it will be trained; decides where views are augmented.
    """

    def __init__(
        self, job: PretrainJob, sessions: Sequence[Session], processes: Processes = ALONE, device: torch.device = CPU
    ) -> None:  # fmt: skip
        self.name = f"pretrain {job.run}, seed {job.seed}"
        self.job, self.seed, self.processes = job, job.seed, processes
        self.sessions = [s for s in sessions if s.sequences]
        if not self.sessions:
            raise CairnError("Pretraining: the shards hold no session.", "See the quarantine tables.", "empty")
        share = job.pretrain.val_share
        everyone = list(range(len(self.sessions)))
        self.train, self.val = (
            split_subjects([s.subject for s in self.sessions], share, job.seed) if share else (everyone, [])
        )
        self.train = subset(self.train, [s.subject for s in self.sessions], job.data_fraction, job.seed)
        self.beside = self.train[: max(0, WATCHED - len(self.val))]
        job.objective.check_batch(job.pretrain.batch_size)
        job.objective.check_processes(job.pretrain.processes)
        seed = derived_seed(job.seed, "weights")
        make = partial(build_objective, job.objective, job.network, seed)
        # A sharded model may be too large to exist whole: it is an outline until it has been spread.
        self.module: Any
        self.start: Start | None
        self.module, self.start = outlined(make, seed) if processes.sharded else (make(), None)
        self.averaged: Callable[[Any], Tensor] = self.module
        """The module's loss, with gradients averaged over the processes."""
        self.augment_on = augment_on(job, self.module, device)

    def batch(self, step: int) -> Batch:
        """Views of the step that are this process's, or their cuts: shuffled epochs, drawn by (seed, step, sample)."""
        size = self.job.pretrain.batch_size
        samples = []
        for sample in self.processes.share(size):
            place = shuffled(self.seed, "pretrain order", len(self.train), step * size + sample)
            session = self.sessions[self.train[place]]
            samples.append((session, generator(self.seed, "view", step, sample)))
        return self._made(samples, step)

    def _made(self, samples: Iterable[tuple[Session, np.random.Generator]], step: int | None = None) -> Batch:
        """Views of sessions, or, where the device augments, ``cuts``; at a step, or as at the end of the training."""
        if self.augment_on == "device":
            return {"cuts": Cuts(tuple(self.module.cut(session, draw, seeded=True) for session, draw in samples))}
        if step is None:
            return stack([self.module.views(session, draw) for session, draw in samples])
        return stack([self.module.views_at(session, draw, step) for session, draw in samples])

    def augmented(self, batch: Batch) -> Batch:
        """The views of a batch that lies on the device."""
        return changed(self.module, batch["cuts"]) if self.augment_on == "device" else batch

    def loss(self, batch: Batch) -> Tensor:
        """The objective's."""
        return self.averaged(self.augmented(batch))

    def pace(self, name: str) -> Pace:
        """The objective's."""
        found: Pace = self.module.pace(name)
        return found

    def updated(self, step: int) -> None:
        """The objective's."""
        self.module.after_update(step)

    def validate(self, device: torch.device) -> dict[str, float]:
        """Mean loss over the held-back sessions, and how far apart the embeddings of all watched sessions lie.

        The views are the same every time, and nothing is trained.
        """
        # A loss that compares samples needs a batch, of the size that it is trained with.
        size = self.job.pretrain.batch_size if self.job.objective.least_batch > 1 else 1
        losses, embedded = [], []
        for batch in self._fixed_views(self.val, size, device):
            losses.append(float(self.module(batch)))
            embedded.append(self.module.embed(batch))
        if size > 1 and embedded:
            embedded = [torch.cat(embedded)[: len(self.val)]]
        embedded += [self.module.embed(batch) for batch in self._fixed_views(self.beside, 1, device)]
        numbers = {"val_loss": sum(losses) / len(losses)} if losses else {}
        return numbers | (watch(torch.cat(embedded)) if len(self.val) + len(self.beside) > 1 else {})

    def judge(self, record: Record) -> None:
        """Stops when the embeddings have collapsed."""
        name = f"{self.name}: objective {self.job.objective.kind}"
        refuse_collapse(record, self.job.pretrain, name, len(self.val) + len(self.beside))

    def _fixed_views(self, places: Sequence[int], size: int, device: torch.device) -> Iterator[Batch]:
        """Batches of ``size`` over the sessions at ``places``; further views of the first fill the last one."""
        for start in range(0, len(places), size):
            samples = []
            for number in range(start, start + size):
                turn, place = divmod(number, len(places))
                draw = generator(self.seed, "validation view", places[place], turn)
                samples.append((self.sessions[places[place]], draw))
            yield self.augmented({k: v.to(device) for k, v in self._made(samples).items()})


def augment_on(job: PretrainJob, objective: Objective, device: torch.device) -> Literal["cpu", "device"]:
    """Where views are augmented.

    Raises:
        CairnError: when the device is asked for, and the objective's views are made on the CPU alone.
    """
    able, wanted = isinstance(objective, AugmentedObjective), job.pretrain.augment_on
    if wanted == "device" and not able:
        reason = f"pretrain.augment_on 'device': objective {job.objective.kind} makes its views on the CPU."
        raise CairnError(reason, "Set it to 'auto' or 'cpu'.", code="config")
    if wanted == "auto":
        return "device" if able and device.type == "cuda" else "cpu"
    return wanted


def pretrain(
    config: Mapping[str, Any],
    shards: Sequence[Path],
    state: Path,
    weights: Path,
    history: Path,
    threads: int,
    code: str,
    member: bool = False,
) -> dict[str, Any]:
    """Pretrain one encoder, from the newest state if there is one; returns facts for the card.

    With ``pretrain.processes`` above 1 this process starts those, and waits; among them the first alone writes.

    Args:
        config: a `PretrainJob` as plain data.
        shards: indexes of the pretraining data set.
        state: folder of the training state.
        weights: the encoder, written once at the end.
        history: JSON lines of step, loss, lr.
        threads: of torch, on this machine: its processes share them.
        code: hash of the code; a state of other code is not continued.
        member: whether this is one of the processes that were started.

    Raises:
        CairnError: for bad configuration or data, a loss that is not finite, or embeddings that have collapsed.
    """
    job = parse(PretrainJob, config)
    if job.pretrain.processes > 1 and not member:
        request = {"config": job.model_dump(mode="json"), "shards": shards, "state": state, "weights": weights}
        return launch(request | {"history": history, "threads": threads, "code": code}, state, job.pretrain)
    device = set_up(job.device, threads // job.pretrain.per_node, job.pretrain.deterministic)
    with joined(job.pretrain, device) as processes:
        return _pretrain(job, shards, state, weights, history, code, device, processes)


def _pretrain(
    job: PretrainJob, shards: Sequence[Path], state: Path, weights: Path, history: Path, code: str,
    device: torch.device, processes: Processes,
) -> dict[str, Any]:  # fmt: skip
    problem = PretrainProblem(job, open_sessions(shards), processes, device)
    if not processes.sharded:  # else block by block
        for_speed(problem.module, device, job.pretrain)
    problem.averaged = spread(problem.module, job.pretrain, processes, device, problem.start)
    plain = job.model_dump(mode="json", exclude={"run": True, "pretrain": WITHOUT_EFFECT})
    key = state_key(job=plain, code=code, data=sorted(sha256(p) for p in shards), **numerics(device))
    with open_states(state, key) if processes.leads else nullcontext() as states:
        result = Loop(problem, job.pretrain, states, device, processes).run()
        if processes.leads:
            remove_left_overs(weights.parent)
            save_encoder(weights, job, result, problem.module.saved)
            write_text(history, lines(result.records))
    return facts(job, problem, result, device) | ({"weights_sha256": sha256(weights)} if processes.leads else {})


def facts(job: PretrainJob, problem: PretrainProblem, result: Result, device: torch.device) -> dict[str, Any]:
    """What the card says of a pretraining."""
    several = {"processes": job.pretrain.processes, "parallel": job.pretrain.parallel}
    return {
        "steps": result.step,
        "final": {k: v for r in result.records[-2:] for k, v in r.items() if k != "lr"},
        "parameters": {"encoder": parameters(problem.module.encoder), "all": parameters(problem.module)},
        "sessions": {"train": len(problem.train), "val": len(problem.val)},
        "samples_per_s": round(result.samples_per_s, 2), "loader_share": round(result.loader_share, 3),
        "augment_on": problem.augment_on, **(several if job.pretrain.processes > 1 else {}),
        **describe(device, job.pretrain.deterministic),
    }  # fmt: skip


def save_encoder(path: Path, job: PretrainJob, result: Result, name: str) -> None:
    """The part ``name`` of the weights, an encoder, with what fine-tuning must know of it."""
    encoder = {k.removeprefix(f"{name}."): v for k, v in result.tensors.items() if k.startswith(f"{name}.")}
    meta = {
        "kind": "encoder", "network": job.network.model_dump(mode="json"),
        "objective": job.objective.model_dump(mode="json"), "step": result.step,
    }  # fmt: skip
    save_weights(path, encoder, meta)
