"""What objectives on two crops of one scan share: the views, and what encoder and head make of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from cairn.config.contrastive import PairConfig
from cairn.config.networks import NetworkConfig
from cairn.io.sessions import Session
from cairn.nets.registry import build_encoder
from cairn.ssl.crops import changed_crops, named, one_sequence, two_crops
from cairn.ssl.cuts import AugmentedObjective, Cut
from cairn.ssl.heads import projected, projector
from cairn.ssl.objective import Views


class CropPair(AugmentedObjective):
    """Encoder and head on two crops of one scan; the loss is the subclass's.

    Args:
        config: crops and augmentation.
        network: the encoder's section.
        widths: of the head's layers.

    Raises:
        CairnError: when the crop does not fit the network.
    """

    def __init__(self, config: PairConfig, network: NetworkConfig, widths: Sequence[int]) -> None:
        super().__init__()
        config.check(network)
        self.pair = config
        self.encoder = build_encoder(network)
        self.head = projector(2 * network.channels[-1], widths)

    def cut(self, session: Session, draw: np.random.Generator, seeded: bool = False) -> Cut:
        """``first`` and ``second``: two crops of one scan, each ``[X, Y, Z]``."""
        crops, changes = two_crops(session, [one_sequence(session, draw)] * 2, self.pair, draw, seeded)
        return named(("first", "second"), crops, changes)

    def change(self, cut: Cut) -> Views:
        """``first`` and ``second``, each ``[X, Y, Z]``."""
        return changed_crops(cut)

    def both(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """What the head gives for the crops, each ``[N, D]``."""
        return self._headed(batch["first"]), self._headed(batch["second"])

    def embed(self, batch: Mapping[str, Tensor]) -> Tensor:
        """What the head gives for the first crop, ``[N, D]``."""
        return self._headed(batch["first"])

    def _headed(self, x_NXYZ: Tensor) -> Tensor:
        return projected(self.encoder, self.head, x_NXYZ)
