"""VICReg (Bardes et al. 2022, arXiv 2105.04906): variance, invariance, covariance; no negatives, no slow copy."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from cairn.config.contrastive import VicregConfig
from cairn.config.networks import NetworkConfig
from cairn.ssl.across import global_rows
from cairn.ssl.heads import full_precision
from cairn.ssl.pair import CropPair

VARIANCE_EPS = 1e-4


class VICReg(CropPair):
    """Encoder and expander on two crops of one scan.

    Terms and their scaling follow the authors' published code: invariance is a mean over samples and dimensions,
    variance the mean of both branches, covariance their sum. Layer norm stands in the expander (see `heads`).

    Args:
        config: crops, augmentation, weights, expander.
        network: the encoder's section.

    Raises:
        CairnError: when the crop does not fit the network.
    """

    def __init__(self, config: VicregConfig, network: NetworkConfig) -> None:
        super().__init__(config, network, config.expander)
        self.config = config

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Weighted sum of the three terms."""
        first, second = (global_rows(z_ND) for z_ND in self.both(batch))
        config = self.config
        with full_precision(first):
            return (
                config.invariance * functional.mse_loss(first, second)
                + config.variance * (lacking_spread(first) + lacking_spread(second)) / 2
                + config.covariance * (shared_spread(first) + shared_spread(second))
            )


def lacking_spread(z_ND: Tensor) -> Tensor:
    """What each dimension's standard deviation over the samples lacks of 1, averaged (the variance term)."""
    return functional.relu(1 - (z_ND.var(dim=0) + VARIANCE_EPS).sqrt()).mean()


def shared_spread(z_ND: Tensor) -> Tensor:
    """Sum of the squared covariances between different dimensions, over D (the covariance term)."""
    centred = z_ND - z_ND.mean(dim=0)
    covariance = centred.T @ centred / (len(z_ND) - 1)
    return (covariance.square().sum() - torch.diagonal(covariance).square().sum()) / z_ND.shape[1]
