"""What training says, on standard error: a line every few seconds with step, loss, rate, time left."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress

EVERY_S = 3.0


def say(text: str) -> None:
    """Print a line; if that fails, go on: a log on a full disk must not end what it reports on.

    Of processes that train together, the first speaks.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("RANK", "0") != "0":
        return
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


class Progress:
    """Progress of one training run, on standard error.

    Args:
        name: what is trained.
        start: steps done already.
        steps: steps in all.
        batch: samples a step.
    """

    def __init__(self, name: str, start: int, steps: int, batch: int) -> None:
        self.name, self.start, self.steps, self.batch = name, start, steps, batch
        self.began = self.spoke = time.monotonic()
        if start:
            say(f"{name}: goes on after step {start} of {steps}")

    def rate(self, step: int) -> float:
        """Samples a second of this process, validations included; 0 when it did none."""
        elapsed = time.monotonic() - self.began
        return (step - self.start) * self.batch / elapsed if elapsed > 0 else 0.0

    def tick(self, step: int, loss: float) -> None:
        """Say where the run stands, if it is time or the run is over."""
        now = time.monotonic()
        if now - self.spoke < EVERY_S and step < self.steps:
            return
        self.spoke = now
        rate = self.rate(step)
        left = (self.steps - step) * self.batch / rate if rate else 0.0
        say(
            f"{self.name}: step {step}/{self.steps} ({step / self.steps:.0%}), loss {loss:.4f}, "
            f"{rate:.1f} samples/s, {int(left) // 60}:{int(left) % 60:02d} left"
        )
