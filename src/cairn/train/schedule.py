"""The learning rate, step by step, and which updates runs of different length have in common.

Schedule ``constant`` is warm-up, stable, decay (Hägele et al. 2024, arXiv 2405.18392): after the warm-up the rate
stays, and over the last ``decay_share`` of the steps it falls by their "1 - sqrt", which they found better than a line.
All updates before the decay are the *trunk*: every longer run makes the very same ones, so it can go on from there.
``cosine`` is what published recipes use; its every rate depends on the total, so no two lengths share anything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cairn.config.training import OptimConfig
from cairn.ssl.teacher import half_cosine


@dataclass(frozen=True)
class Course:
    """A run's length, as far as its states must know: all its updates, and how many of them are trunk."""

    steps: int
    trunk: int

    def shares(self, step: int, other: Course) -> bool:
        """Whether a run of this length and one of the ``other`` are the same up to ``step``."""
        return self.steps == other.steps or step <= min(self.trunk, other.trunk)


def course_of(config: OptimConfig) -> Course:
    """The course of a run."""
    if config.schedule == "cosine":
        return Course(config.steps, 0)
    return Course(config.steps, config.steps - round(config.decay_share * config.steps))


def weight_decay(config: OptimConfig, step: int) -> float:
    """Weight decay of update number ``step`` (from 0): along a cosine to ``weight_decay_end``, where there is one."""
    if config.weight_decay_end is None:
        return config.weight_decay
    return half_cosine(config.weight_decay, config.weight_decay_end, step / max(1, config.steps))


def learning_rate(config: OptimConfig, step: int) -> float:
    """Rate of update number ``step`` (from 0).

    The linear warm-up counts steps, not shares, so that a longer run begins no differently. A run too short for it
    rises less far, then falls from there; `warmup_warning` says so.
    """
    rise = min(1.0, (step + 1) / max(1, config.warmup_steps))
    if config.schedule == "cosine":
        past = max(0, step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
        return config.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * past))
    trunk = course_of(config).trunk
    fall = 1.0 if step < trunk else 1 - math.sqrt((step - trunk) / (config.steps - trunk))
    return config.learning_rate * rise * fall


def warmup_warning(config: OptimConfig) -> str:
    """A sentence on a warm-up that the run is too short for, or nothing."""
    stable = course_of(config).trunk or config.steps
    if config.warmup_steps <= stable:
        return ""
    return f"warmup_steps {config.warmup_steps} is more than the {stable} steps before the decay: the rate stays low"
