"""What the findings page asks of an experiment: which runs are of a kind, how large, how long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from cairn.config.evaluate import LeaderboardJob
from cairn.config.networks import NetworkConfig

Family = Literal["masked", "contrastive", "context", "hybrid", "distillation", "predictive"]
FAMILIES: Mapping[str, Family] = {
    "mae": "masked", "simclr": "contrastive", "moco": "contrastive", "vicreg": "contrastive", "voco": "context",
    "hybrid": "hybrid", "subject_sequence": "hybrid", "dino": "distillation", "curia": "distillation",
    "jepa": "predictive",
}  # fmt: skip
"""Family of each kind of objective. FOMO25 tells apart masked or otherwise local reconstruction, purely global
objectives, and hybrids of both; the finer division is ours."""


class FindingsJob(LeaderboardJob):
    """Configuration of the job that tests FOMO25's three findings on this experiment."""

    families: Mapping[str, Family] = {}
    """Family of the objective of each pretrained run."""
    samples: Mapping[str, int] = {}
    """Samples that each pretrained run has seen: steps times batch size, however many views are made of each."""
    networks: Mapping[str, NetworkConfig] = {}
    """Network of each run that has one."""
