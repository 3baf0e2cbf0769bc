"""Training in a process of its own, to be killed; and what every killed run must end with."""

from __future__ import annotations

import itertools
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from learning import finetune_job, run_finetune, run_pretrain
from made import Made

from cairn.io.atomic import sha256
from cairn.nets.weights import read_tensors
from cairn.train.loop import Loop

STAGES = ("pretrain", "finetune")
OUTPUTS = {"pretrain": ("encoder.safetensors", "history.jsonl"), "finetune": ("model.safetensors", "history.jsonl")}
STATE_EVERY = {"pretrain": 2, "finetune": 3}
PATIENCE_S = 120


def train(stage: str, folder: Path, made: Made, **changes: Any) -> Any:
    """Train into ``folder``; each update is noted in ``steps.log``."""
    folder.mkdir(exist_ok=True)
    with noted(folder):
        if stage == "pretrain":
            return run_pretrain(folder, made.index, **changes)
        return run_finetune(folder, made, finetune_job("classification", **changes))


@contextmanager
def noted(folder: Path) -> Iterator[None]:
    """Note each update by the number of its step, and by 0 that a run begins."""
    original = Loop._update

    def note(step: int) -> None:
        with (folder / "steps.log").open("a") as log:
            log.write(f"{step}\n")

    def update(self: Loop, batch: Any) -> float:
        loss = original(self, batch)
        note(self.step)
        return loss

    note(0)
    Loop._update = update  # type: ignore[method-assign]
    try:
        yield
    finally:
        Loop._update = original  # type: ignore[method-assign]


def trained(folder: Path) -> list[list[int]]:
    """Steps that each run trained, in order; a run that trained none is left out."""
    numbers = map(int, (folder / "steps.log").read_text().split())
    runs: list[list[int]] = []
    for step in numbers:
        if step == 0:
            runs.append([])
        else:
            runs[-1].append(step)
    return [run for run in runs if run]


def lost(folder: Path) -> int:
    """The most steps that any run had to train again."""
    runs = trained(folder)
    return max([before[-1] - after[0] + 1 for before, after in itertools.pairwise(runs)], default=0)


def start(work: Callable[[], Any], said: Path | None = None) -> int:
    """Do ``work`` in a forked process; what it says goes to the file ``said``. Exits with 0 if it ends well."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        if said:
            import sys

            sys.stderr = said.open("w", buffering=1)
        work()
        code = 0
    finally:
        os._exit(code)


def wait(when: Callable[[], bool], child: int | None = None) -> bool:
    """Wait until ``when()`` holds; False if the child ended before."""
    end = time.monotonic() + PATIENCE_S
    while not when():
        assert time.monotonic() < end
        if child and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return False
        time.sleep(0.001)
    return True


def kill(child: int) -> None:
    """SIGKILL a child."""
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def exit_code(child: int) -> int:
    """Wait for a child to end."""
    end = time.monotonic() + PATIENCE_S
    while (done := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if time.monotonic() > end:
            kill(child)
            raise TimeoutError
        time.sleep(0.005)
    return os.waitstatus_to_exitcode(done[1])


def states(folder: Path) -> list[Path]:
    """State files, in the order of steps."""
    return sorted((folder / "state").glob("*/state-*.safetensors"))


def same(a: Path, b: Path, stage: str = "pretrain") -> bool:
    """Whether two runs ended with the same bytes of weights and history."""
    return [sha256(a / n) for n in OUTPUTS[stage]] == [sha256(b / n) for n in OUTPUTS[stage]]


def assert_as_if_never_interrupted(stage: str, folder: Path, whole: Path) -> None:
    """Same bytes, no step trained twice but those of one checkpoint interval, every state readable, no litter."""
    assert same(folder, whole, stage)
    assert lost(folder) <= STATE_EVERY[stage]
    assert all(read_tensors(path) for path in states(folder))
    assert not list(folder.rglob(".tmp*"))
    for line in (folder / "history.jsonl").read_text().splitlines():
        json.loads(line)
