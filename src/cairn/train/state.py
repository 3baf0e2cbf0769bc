"""Training state: one safetensors file a state, written atomically, no pickle; it holds the whole past of its run.

States lie under ``folder/{key}/``. The key is a hash of all that decides the result (configuration without the number
of steps, code, data, torch, threads), so a state of anything else is never picked up. Of the key's states, one is
picked up only if the wanted run would have come by it too: `Course.shares` says so. The result is then the same
whatever lies in the folder.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cairn.errors import CairnError
from cairn.io.atomic import disk_errors, remove_left_overs
from cairn.io.lock import exclusive
from cairn.nets.meta import read_meta
from cairn.nets.weights import read_tensors, save_weights
from cairn.train.progress import say
from cairn.train.schedule import Course

KEPT = 2
LOCK = ".lock"
NAME = re.compile(r"state-(\d+)-of-(\d+)\.safetensors")


@dataclass(frozen=True)
class State:
    """What a loop needs to go on after ``step`` updates of a run of length ``course``; ``meta`` is plain data."""

    step: int
    course: Course
    tensors: dict[str, Tensor]
    meta: dict[str, Any]


def state_key(**parts: Any) -> str:
    """First 16 hex digits of a hash over ``parts`` (plain data)."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


@contextmanager
def open_states(folder: Path, key: str) -> Iterator[StateFolder]:
    """The states of one training run, for this process alone (see `exclusive`)."""
    with exclusive(folder / LOCK, f"state of {folder.name}"):
        yield StateFolder(folder, key)


class StateFolder:
    """The states of one training run.

    Args:
        folder: the job's state folder, outside every workflow output.
        key: from `state_key`.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder / key
        if folder.is_dir() and not self.folder.is_dir() and any(path.is_dir() for path in folder.iterdir()):
            say(f"state: {folder} holds states of another configuration, code or data; they are left alone")
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        remove_left_overs(self.folder)

    @property
    def history(self) -> Path:
        """History so far, for watching."""
        return self.folder / "history.jsonl"

    def _files(self) -> dict[Path, tuple[int, int]]:
        """Each state's step and length of run, in the order of steps."""
        found = {p: NAME.fullmatch(p.name) for p in self.folder.iterdir()}
        numbers = {path: (int(match[1]), int(match[2])) for path, match in found.items() if match}
        return dict(sorted(numbers.items(), key=lambda item: item[1]))

    def save(self, state: State) -> None:
        """Write a state, then remove those that nothing will go on from.

        Raises:
            CairnError: with code ``disk`` when there is no space; the earlier states are then as they were.
        """
        path = self.folder / f"state-{state.step:09d}-of-{state.course.steps:09d}.safetensors"
        meta = {**state.meta, "step": state.step, "steps": state.course.steps, "trunk": state.course.trunk}
        save_weights(path, state.tensors, {**meta, "sha256": _digest(state.tensors, meta)})
        self._prune(state)

    def _prune(self, state: State) -> None:
        """Keep the run's last two states and the end of its trunk, where a longer run goes on.

        States of other lengths stay until this run is finished, as ``steps`` may have been changed by mistake; then
        of them only the furthest trunk stays, if it leads further than this run's.
        """
        files = self._files()
        own = [path for path, (step, steps) in files.items() if steps == state.course.steps and step <= state.step]
        kept = {*own[-KEPT:], *(path for path in own if files[path][0] == state.course.trunk)}
        others = [path for path, (_, steps) in files.items() if steps != state.course.steps]
        if state.step == state.course.steps:
            others = [path for path in others if state.course.trunk < files[path][0] <= _trunk(path)][-1:]
        for path in set(files) - kept - set(others):
            path.unlink(missing_ok=True)

    def load(self, course: Course) -> State | None:
        """The newest state that is part of a run of this length, if any; unreadable ones are reported."""
        files, foreign = self._files(), set()
        for path in reversed(files):
            try:
                state = _read(path, course)
            except (CairnError, KeyError, OSError, TypeError, ValueError) as error:
                say(f"state: unreadable state, falling back to the one before: {path.name} ({error})")
                continue
            if state:
                return state
            foreign.add(files[path][1])
        if foreign:
            lengths = ", ".join(map(str, sorted(foreign)))
            say(
                f"state: nothing here (of runs of {lengths} steps) is part of a run of {course.steps} steps: "
                "training starts anew" + ("" if course.trunk else "; with schedule 'constant' a longer run goes on")
            )
        return None


def _read(path: Path, course: Course) -> State | None:
    """A state, or None where it is no part of a run of this length.

    Raises:
        CairnError: when it is not what was written.
    """
    meta = read_meta(path)
    digest, own = meta.pop("sha256"), Course(meta["steps"], meta["trunk"])
    if not own.shares(meta["step"], course):
        return None
    tensors = read_tensors(path)
    if _digest(tensors, meta) != digest:
        raise CairnError(f"{path}: its content has changed.", "Delete it and run again.", "truncated")
    return State(meta["step"], own, tensors, meta)


def _digest(tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> str:
    """Hash of a state's content: a disk that dies gives zeros or stray bits, and safetensors takes any number."""
    total = hashlib.sha256(json.dumps(meta, sort_keys=True).encode())
    for name in sorted(tensors):
        total.update(name.encode())
        total.update(tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()


def _trunk(path: Path) -> int:
    try:
        return int(read_meta(path)["trunk"])
    except (CairnError, KeyError, OSError, TypeError, ValueError):
        return 0
