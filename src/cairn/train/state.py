"""Training state: one safetensors file a state, written atomically, the last two kept. No pickle.

States lie under ``folder/{key}/``. The key is a hash of all that decides the result (configuration without the number
of steps, code, data), so a state of anything else is never picked up.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from cairn.errors import CairnError
from cairn.nets.meta import read_meta
from cairn.nets.weights import read_tensors, save_weights

KEPT = 2


@dataclass(frozen=True)
class State:
    """What a loop needs to go on after ``step`` updates."""

    step: int
    tensors: dict[str, Tensor]
    meta: dict[str, Any]


def state_key(**parts: Any) -> str:
    """First 16 hex digits of a hash over ``parts`` (plain data)."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


class StateFolder:
    """The states of one training run.

    Args:
        folder: the job's state folder, outside every workflow output.
        key: from `state_key`.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder / key
        if folder.is_dir() and not self.folder.is_dir() and any(folder.iterdir()):
            _say(f"{folder} holds states of another configuration, code or data; they are left alone")
        self.folder.mkdir(parents=True, exist_ok=True)
        for left_over in self.folder.glob(".tmp-*"):  # of a job killed while it wrote
            left_over.unlink(missing_ok=True)

    @property
    def history(self) -> Path:
        """Lines of the history so far."""
        return self.folder / "history.jsonl"

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("state-*.safetensors"))

    def save(self, state: State) -> None:
        """Write a state, then remove all but it and the one before; later ones belong to a longer schedule left off."""
        path = self.folder / f"state-{state.step:09d}.safetensors"
        save_weights(path, state.tensors, {**state.meta, "step": state.step})
        files = self._files()
        kept = [f for f in files if f <= path][-KEPT:]
        for other in set(files) - set(kept):
            other.unlink(missing_ok=True)

    def load(self, steps: int) -> State | None:
        """The newest readable state of a schedule of at most ``steps``, if any; unreadable ones are reported."""
        for path in reversed(self._files()):
            try:
                meta = read_meta(path)
                if meta["schedule"][-1][1] > steps:
                    _say(f"{path.name} belongs to a longer schedule than the {steps} steps wanted; passed over")
                    continue
                return State(meta["step"], read_tensors(path), meta)
            except (CairnError, KeyError, OSError) as error:
                _say(f"unreadable state, falling back to the one before: {path.name} ({error})")
        return None


class History:
    """Lines of JSON: one record each, of step and numbers. No times, so that equal runs give equal files.

    Args:
        path: the file in the state folder.
        step: records after this step are dropped (they are trained again).
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        kept = []
        if path.is_file() and step > 0:
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    record = json.loads(line)
                except ValueError:
                    break  # a line cut by an interruption: all after it is past the state
                if record["step"] <= step:
                    kept.append(line)
        path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def add(self, record: Mapping[str, Any]) -> None:
        """Append a record; floats keep every digit."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def records(self) -> list[dict[str, Any]]:
        """All records."""
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]


def _say(text: str) -> None:
    print(f"state: {text}", file=sys.stderr, flush=True)
