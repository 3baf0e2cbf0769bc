"""MoCo (He et al. 2020, arXiv 1911.05722) across sequences, as anyBrainer has it for brain MRI.

Query and key are two sequences of one session at the same place, so that what they share is anatomy. Keys come from an
encoder that follows slowly; the last keys wait in a queue and are the negatives of the next queries.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cairn.config.contrastive import MocoConfig
from cairn.config.networks import NetworkConfig
from cairn.io.sessions import Session
from cairn.nets.registry import build_encoder
from cairn.ssl.across import global_rows
from cairn.ssl.crops import changed_crops, named, two_crops, two_sequences
from cairn.ssl.cuts import AugmentedObjective, Cut
from cairn.ssl.heads import info_nce, projected, projector
from cairn.ssl.objective import Views
from cairn.ssl.teacher import follow, half_cosine


class MoCo(AugmentedObjective):
    """Encoder and projector, their slow copies, and a queue of keys.

    As published, but for two things. The queue begins empty and not with random directions: with small batches these
    would outnumber the keys for thousands of steps. And there is no shuffled batch norm, as there is no batch norm
    (see `heads`). anyBrainer's auxiliary classification of sequences is left out: it needs labels of sequences.

    Args:
        config: crops, augmentation, temperature, projector, queue, momentum.
        network: the encoder's section.

    Raises:
        CairnError: when the crop does not fit the network.
    """

    queue: Tensor
    """``[K, D]``: keys of length 1, 0 where none has come yet; key number i lies in row i % K."""
    enqueued: Tensor
    """Keys that have ever come."""

    def __init__(self, config: MocoConfig, network: NetworkConfig) -> None:
        super().__init__()
        config.check(network)
        self.config = config
        self.encoder = build_encoder(network)
        self.projector = projector(2 * network.channels[-1], config.projector)
        self.key_encoder = deepcopy(self.encoder).requires_grad_(False)
        self.key_projector = deepcopy(self.projector).requires_grad_(False)
        self.register_buffer("queue", torch.zeros(config.queue, config.projector[-1]))
        self.register_buffer("enqueued", torch.zeros((), dtype=torch.int64))
        self._keys: Tensor | None = None  # of this step, between its loss and its update; no state is taken there

    def cut(self, session: Session, draw: np.random.Generator, seeded: bool = False) -> Cut:
        """``query`` and ``key``: crops of two sequences of the session, each ``[X, Y, Z]``."""
        crops, changes = two_crops(session, two_sequences(session, draw), self.config, draw, seeded)
        return named(("query", "key"), crops, changes)

    def change(self, cut: Cut) -> Views:
        """``query`` and ``key``, each ``[X, Y, Z]``."""
        return changed_crops(cut)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Cross entropy of telling each query's key from the queue; in training the keys then join the queue."""
        query = projected(self.encoder, self.projector, batch["query"])
        with torch.no_grad():
            key = functional.normalize(projected(self.key_encoder, self.key_projector, batch["key"]), dim=1)
        if self.training:
            self._keys = global_rows(key)  # every process keeps the same queue
        # A copy: the queue changes in place, and the gradient still needs what it was.
        negatives = self.queue[: min(int(self.enqueued), len(self.queue))].clone()
        return info_nce(query, key, negatives, self.config.temperature)

    def embed(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Projection of the query, ``[N, D]``."""
        return projected(self.encoder, self.projector, batch["query"])

    def after_update(self, step: int) -> None:
        """The key encoder moves towards the encoder; the step's keys overwrite the oldest."""
        keep = momentum(self.config, step)
        follow(self.key_encoder, self.encoder, keep)
        follow(self.key_projector, self.projector, keep)
        if self._keys is not None:
            count = len(self._keys)
            rows = (self.enqueued + torch.arange(count, device=self.queue.device)) % len(self.queue)
            self.queue[rows] = self._keys.to(self.queue.dtype)
            self.enqueued += count
            self._keys = None


def momentum(config: MocoConfig, step: int) -> float:
    """Share of itself that the key encoder keeps at update ``step`` (from 1): half a cosine, then constant."""
    return half_cosine(config.momentum, config.momentum_end, (step - 1) / config.momentum_steps)
