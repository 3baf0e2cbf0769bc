"""SimCLR (Chen et al. 2020, arXiv 2002.05709): two crops of one scan are alike, crops of other scans are not."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from cairn.config.contrastive import SimclrConfig
from cairn.config.networks import NetworkConfig
from cairn.ssl.heads import nt_xent
from cairn.ssl.pair import CropPair


class SimCLR(CropPair):
    """Encoder and projector; the batch gives the negatives.

    As published, but for layer norm in the projector (see `heads`), and crops in 3D that share a region.

    Args:
        config: crops, augmentation, temperature, projector.
        network: the encoder's section.

    Raises:
        CairnError: when the crop does not fit the network.
    """

    def __init__(self, config: SimclrConfig, network: NetworkConfig) -> None:
        super().__init__(config, network, config.projector)
        self.temperature = config.temperature

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """NT-Xent over the 2 N crops of the batch."""
        return nt_xent(*self.both(batch), self.temperature)
