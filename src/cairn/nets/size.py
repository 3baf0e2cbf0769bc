"""How large a network is, without its memory."""

from __future__ import annotations

import torch

from cairn.config.networks import NetworkConfig
from cairn.nets.blocks import parameters
from cairn.nets.encoder import Encoder


def encoder_parameters(network: NetworkConfig) -> int:
    """Number of weights of an encoder, counted on the meta device."""
    with torch.device("meta"):
        return parameters(Encoder(network))
