"""Memory that a rule asks of the machine, from sizes in the configuration; a scheduler kills a job that takes more.

Told without torch, which the workflow does not import: a network's weights by its formula, not by building it.
`cairn.train.memory` says what a GPU holds; here it is the machine's own memory.
"""

from __future__ import annotations

from typing import Any

from cairn.config.networks import Dinov2Config, NetworkConfig
from cairn.config.prototypes import PrototypeConfig

JOB_MB = 4000
"""Enough for the interpreter, its libraries and a network of some ten million weights."""
BASE_MB = 2000
"""The same without a network."""
FLOAT = 4


def weights(network: NetworkConfig) -> int:
    """Weights of a transformer's blocks, which are nearly all of it: 4 d^2 for attention, and the inner layers'.

    A gated inner layer has three matrices of two thirds the width, a plain one two: the same. 0 for other networks:
    those for volumes fit `JOB_MB`.
    """
    if not isinstance(network, Dinov2Config):
        return 0
    return network.layers * (4 + 2 * network.mlp_ratio) * network.hidden_size**2


def encoder_mb(network: NetworkConfig) -> int:
    """MB of a job that reads an encoder's weights: the file's and the network's stand side by side."""
    return max(JOB_MB, BASE_MB + 2 * FLOAT * weights(network) // 10**6)


def pretrain_mb(network: NetworkConfig, objective: Any, processes: int) -> int:
    """MB on one machine of a pretraining: its processes, and the whole state, which the first has there when it saves.

    Args:
        network: of the encoder.
        objective: its section; prototypes of two heads count.
        processes: on this machine.
    """
    heads = 2 * objective.prototypes * objective.head_bottleneck if isinstance(objective, PrototypeConfig) else 0
    # The student, AdamW's two moments, the teacher.
    state = 4 * FLOAT * (weights(network) + heads) // 10**6
    return JOB_MB * processes + (state if state > BASE_MB else 0)
