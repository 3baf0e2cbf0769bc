"""Configuration of a fine-tuning job, whatever its method."""

from __future__ import annotations

from typing import Literal

from cairn.config.base import Section
from cairn.config.networks import NetworkConfig
from cairn.config.tasks import TaskSpec
from cairn.config.training import Device, FinetuneConfig, ProbeConfig


class FinetuneJob(Section):
    """One model for one task."""

    run: str
    """The run."""
    method: Literal["pretrained", "scratch", "classical"]
    """``classical``: scikit-learn. The others share network and recipe, and differ in their start."""
    task: TaskSpec
    """The task."""
    network: NetworkConfig | None = None
    """The network; none for classical runs."""
    finetune: FinetuneConfig = FinetuneConfig()
    """The recipe, with the task's own values already in it."""
    probe: ProbeConfig = ProbeConfig()
    """The recipe of a probe."""
    seed: int
    """Decides start, split, order, augmentation."""
    device: Device = "auto"
    """Where it runs."""
