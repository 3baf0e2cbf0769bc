"""Objectives by name. A new one is a file with a class, a section in the configuration, and a line here."""

from __future__ import annotations

from typing import Any

from cairn.config.networks import NetworkConfig
from cairn.config.objectives import ObjectiveConfig
from cairn.nets.encoder import seeded
from cairn.ssl.curia import CuriaObjective
from cairn.ssl.dino import SelfDistillation
from cairn.ssl.hybrid import HybridAlignment
from cairn.ssl.jepa import JointEmbeddingPrediction
from cairn.ssl.mae import MaskedAutoencoder
from cairn.ssl.moco import MoCo
from cairn.ssl.objective import Objective
from cairn.ssl.simclr import SimCLR
from cairn.ssl.subject_sequence import SubjectSequence
from cairn.ssl.vicreg import VICReg
from cairn.ssl.voco import VoCo

OBJECTIVES: dict[str, Any] = {
    "mae": MaskedAutoencoder,
    "simclr": SimCLR,
    "moco": MoCo,
    "vicreg": VICReg,
    "voco": VoCo,
    "hybrid": HybridAlignment,
    "subject_sequence": SubjectSequence,
    "dino": SelfDistillation,
    "jepa": JointEmbeddingPrediction,
    "curia": CuriaObjective,
}


def build_objective(config: ObjectiveConfig, network: NetworkConfig, seed: int) -> Objective:
    """The objective that ``config`` names, with the random start that ``seed`` gives."""
    with seeded(seed):
        objective: Objective = OBJECTIVES[config.kind](config, network)
    return objective
