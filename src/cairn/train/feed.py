"""Batches for the loop: on a GPU made and copied ahead of it; and how long the loop waited for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

Batch = Mapping[str, Tensor]
"""Tensors by name, or what moves as tensors do (`cairn.ssl.cuts.Cuts`)."""
THREADS = 4


class Feed:
    """Batches by number, on a device, in order.

    On a CPU each is made when it is asked for. On a GPU threads make them ahead and put them into pinned memory, from
    which a stream of their own copies them beside the work of the step before. Neither changes a number.

    Args:
        make: makes batch number ``step`` on the CPU; it depends on ``step`` alone. Called in threads.
        device: where the batches are wanted.
        threads: how many make batches ahead, two each; 0: none. Default: on a GPU alone.
    """

    def __init__(self, make: Callable[[int], Batch], device: torch.device, threads: int | None = None) -> None:
        self.make, self.device = make, device
        self.threads = (THREADS if device.type == "cuda" else 0) if threads is None else threads
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self.began = time.monotonic()
        self.waited_s = 0.0

    @property
    def share(self) -> float:
        """Share of the time since the first batch was asked for that was spent waiting for batches."""
        return self.waited_s / max(time.monotonic() - self.began, 1e-9)

    def batches(self, steps: range) -> Iterator[Batch]:
        """Batches of ``steps``."""
        self.began, self.waited_s = time.monotonic(), 0.0
        with ThreadPoolExecutor(self.threads) if self.threads else nullcontext() as pool:
            ahead = 2 * self.threads
            coming = [pool.submit(self._loaded, s) for s in steps[:ahead]] if pool else []
            for number, step in enumerate(steps):
                asked = time.monotonic()
                loaded, copied = coming.pop(0).result() if pool else self._loaded(step)
                if pool and number + ahead < len(steps):
                    coming.append(pool.submit(self._loaded, steps[number + ahead]))
                self._take(loaded, copied)
                self.waited_s += time.monotonic() - asked
                yield loaded

    def _loaded(self, step: int) -> tuple[Batch, Any]:
        """A batch on the device, and on a GPU the event that its copy is done."""
        batch = self.make(step)
        if self.stream is None:
            return {name: x.to(self.device) for name, x in batch.items()}, None
        with torch.cuda.stream(self.stream):
            moved = {name: x.pin_memory().to(self.device, non_blocking=True) for name, x in batch.items()}
            return moved, self.stream.record_event()

    def _take(self, batch: Batch, copied: Any) -> None:
        """Let the work that follows wait for the copy, and keep the memory until that work is done."""
        if copied is None:
            return
        current = torch.cuda.current_stream(self.device)
        current.wait_event(copied)
        for x in batch.values():
            x.record_stream(current)
