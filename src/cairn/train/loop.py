"""The loop: steps, validation, state. It knows neither an objective nor a task.

A state holds nothing that a longer run would lack: it is taken before the record and the validation that the last step
has in any case. So under schedule ``constant`` a longer ``steps`` goes on from the last state before the decay, and
ends with the bytes of a run that had that many steps from the start.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cairn.config.training import OptimConfig
from cairn.errors import CairnError
from cairn.ssl.across import alone
from cairn.ssl.draws import derived_seed
from cairn.ssl.pace import FULL, Pace
from cairn.train.devices import precision
from cairn.train.distributed import ALONE, Processes, clip
from cairn.train.feed import Batch, Feed
from cairn.train.history import History, Record, lines
from cairn.train.optim import make_optimizer, moments, restore_moments
from cairn.train.progress import Progress, say
from cairn.train.schedule import course_of, learning_rate, warmup_warning, weight_decay
from cairn.train.state import State, StateFolder


class Problem(ABC):
    """What is trained: a module, samples by number, a loss, and a validation."""

    name: str
    module: nn.Module
    seed: int
    keep_best = False
    """Whether the result is the best state by validation, or the last."""

    @abstractmethod
    def batch(self, step: int) -> Batch:
        """Batch of update ``step``, on the CPU: a function of the seed and the step alone. May run in a thread."""

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """Loss of a batch, which lies on the device of the module."""

    def pace(self, name: str) -> Pace:
        """How fast the parameter of that name learns."""
        return FULL

    def updated(self, step: int) -> None:  # noqa: B027 (most have nothing to do here)
        """Called without gradient after update number ``step`` (from 1)."""

    @abstractmethod
    def validate(self, device: torch.device) -> dict[str, float]:
        """Numbers for the history; with ``keep_best`` the first, then the second, ranks (higher is better)."""

    def judge(self, record: Record) -> None:  # noqa: B027 (most go on whatever they see)
        """Called with each line of the history that a validation made, also with those of the state that a run goes on
        from; raises where going on is in vain.
        """


@dataclass(frozen=True)
class Result:
    """What a run ended with."""

    tensors: dict[str, Tensor]
    step: int
    records: list[dict[str, Any]]
    best: dict[str, Any]
    """Step and numbers of the best validation, with ``keep_best``."""
    samples_per_s: float
    loader_share: float
    """Share of the time that was spent waiting for batches."""


class Loop:
    """Trains one problem.

    Args:
        problem: what is trained.
        config: optimiser and budget.
        states: where its states lie; None in a process that writes nothing, as another does.
        device: where it runs.
        processes: those that train the problem together.
    """

    def __init__(
        self, problem: Problem, config: OptimConfig, states: StateFolder | None, device: torch.device,
        processes: Processes = ALONE,
    ) -> None:  # fmt: skip
        self.problem, self.config, self.states, self.device = problem, config, states, device
        self.processes = processes
        self.module = problem.module.to(device)
        self.optimizer = make_optimizer(self.module, config, problem.pace)
        self.course = course_of(config)
        self.history: History
        self.step = 0
        self.window = [0.0, 0.0]  # sum and count of the losses since the last record
        self.best: dict[str, Any] = {}
        self.best_tensors: dict[str, Tensor] = {}

    def run(self) -> Result:
        """Train to the configured number of steps, from the newest state.

        Raises:
            CairnError: with code ``not-finite`` when the loss or its gradient is NaN or infinite.
        """
        if warning := warmup_warning(self.config):
            say(f"{self.problem.name}: {warning}")
        self._restore()
        progress = Progress(self.problem.name, self.step, self.config.steps, self.config.batch_size)
        feed = Feed(self.problem.batch, self.device)
        for batch in feed.batches(range(self.step, self.config.steps)):
            loss = self._update(batch)
            self.window[0] += loss
            self.window[1] += 1
            if self.step % self.config.log_every == 0:
                self._log()
            if self.step % self.config.validate_every == 0:
                self._validate()
            if self.step % self.config.state_every == 0 or self.step in (self.course.trunk, self.course.steps):
                self._save()
            progress.tick(self.step, loss)
        if self.window[1]:
            self._log()
        if self.step % self.config.validate_every:
            self._validate()
        speed = progress.rate(self.step), feed.share
        if self.problem.keep_best and self.best_tensors:
            tensors, step = self.best_tensors, self.best["step"]
        else:
            tensors, step = self.processes.whole(self.module.state_dict()), self.step
        return Result(tensors, step, self.history.records, self.best, *speed)

    def _update(self, batch: Batch) -> float:
        # Whatever draws from torch's own generator (dropout) is keyed by the step too, and by the process.
        torch.manual_seed(derived_seed(self.problem.seed, "torch", self.step, self.processes.rank))
        rate = learning_rate(self.config, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["pace"].rate(rate, self.step)
            if group["decays"]:
                group["weight_decay"] = weight_decay(self.config, self.step)
        self.module.train()
        self.optimizer.zero_grad(set_to_none=True)
        with precision(self.device):
            loss = self.problem.loss(batch)
        loss.backward()
        norm = clip(self.module, self.config.clip_norm)
        value = self.processes.mean(loss)
        if not math.isfinite(value) or not math.isfinite(norm):
            raise CairnError(
                f"{self.problem.name}: loss {value:g}, gradient {norm:g} at step {self.step + 1}.",
                "Lower learning_rate or clip_norm; the last good state is kept.", code="not-finite",
            )  # fmt: skip
        self.optimizer.step()
        self.step += 1
        with torch.no_grad():
            self.problem.updated(self.step)
        return value

    def _log(self) -> None:
        rate = learning_rate(self.config, self.step - 1)
        self.history.add({"step": self.step, "loss": self.window[0] / self.window[1], "lr": rate})
        self.window = [0.0, 0.0]

    def _validate(self) -> None:
        self.module.eval()
        # Every process validates it all: the numbers are those of one process, and sharded weights need them all.
        with torch.no_grad(), precision(self.device), alone():
            numbers = self.problem.validate(self.device)
        if not numbers:
            return
        shown = {k: (v if math.isfinite(v) else None) for k, v in numbers.items()}
        if self.problem.keep_best:
            rank = [v if math.isfinite(v) else -math.inf for v in list(numbers.values())[:2]]
            # Strictly better: of equals the earliest stays, so that the choice does not depend on what follows.
            if not self.best or rank > [-math.inf if r is None else r for r in self.best["rank"]]:
                self.best = {"step": self.step, "rank": [r if math.isfinite(r) else None for r in rank], **shown}
                self.best_tensors = {k: v.detach().cpu().clone() for k, v in self.module.state_dict().items()}
        self.history.add({"step": self.step, **shown})
        self.problem.judge(self.history.records[-1])

    def _save(self) -> None:
        tensors = {f"model.{k}": v for k, v in self.module.state_dict().items()}
        tensors |= moments(self.module, self.optimizer)
        tensors = self.processes.whole(tensors) | {f"best.{k}": v for k, v in self.best_tensors.items()}
        if not self.states:
            return
        meta = {"best": self.best, "window": self.window, "history": lines(self.history.records)}
        self.states.save(State(self.step, self.course, tensors, meta))

    def _restore(self) -> None:
        """Go on from the newest state of this run, if there is one."""
        state = self.processes.same(self.states.load(self.course) if self.states else None)
        self.history = History(self.states.history if self.states else None, state.meta["history"] if state else "")
        if state is None:
            return
        own, given = self.module.state_dict(), _part(state.tensors, "model")
        self.module.load_state_dict({k: self.processes.part(given[k], own[k]) for k in sorted(given)})
        restore_moments(self.module, self.optimizer, state.tensors, self.processes.part)
        self.step, self.best, self.window = state.step, state.meta["best"], state.meta["window"]
        self.best_tensors = _part(state.tensors, "best")
        # What judges may have been changed since, so that a run from the start would not have come so far.
        for record in self.history.records:
            if "loss" not in record:
                self.problem.judge(record)


def _part(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}
