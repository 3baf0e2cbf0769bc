"""SimCLR (Chen et al. 2020, arXiv 2002.05709): two crops of one scan are alike, crops of other scans are not."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from cairn.config.contrastive import SimclrConfig
from cairn.config.networks import NetworkConfig
from cairn.io.sessions import Session
from cairn.nets.registry import build_encoder
from cairn.ssl.crops import one_sequence, two_crops
from cairn.ssl.heads import nt_xent, projected, projector
from cairn.ssl.objective import Objective, Views


class SimCLR(Objective):
    """Encoder and projector; the batch gives the negatives.

    As published, but for layer norm in the projector (see `heads`), and crops in 3D that share a region.

    Args:
        config: crops, augmentation, temperature, projector.
        network: the encoder's section.

    Raises:
        CairnError: when the crop does not fit the network.
    """

    def __init__(self, config: SimclrConfig, network: NetworkConfig) -> None:
        super().__init__()
        config.check(network)
        self.config = config
        self.encoder = build_encoder(network)
        self.projector = projector(2 * network.channels[-1], config.projector)

    def views(self, session: Session, draw: np.random.Generator) -> Views:
        """``first`` and ``second``: two crops of one scan, each ``[X, Y, Z]``."""
        first, second = two_crops(session, [one_sequence(session, draw)] * 2, self.config, draw)
        return {"first": first, "second": second}

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """NT-Xent over the 2 N crops of the batch."""
        first, second = (projected(self.encoder, self.projector, batch[k]) for k in ("first", "second"))
        return nt_xent(first, second, self.config.temperature)

    def embed(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Projection of the first crop, ``[N, D]``."""
        return projected(self.encoder, self.projector, batch["first"])
