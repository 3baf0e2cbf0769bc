"""Backbones by kind. A new one is a file with a class, a section in the configuration, and a line here."""

from __future__ import annotations

from typing import Any

from cairn.config.networks import NetworkConfig
from cairn.nets.encoder import Encoder, ResidualEncoder
from cairn.nets.mednext import MedNextEncoder
from cairn.nets.swin import SwinEncoder
from cairn.nets.unet import UnetEncoder
from cairn.nets.vit import VitEncoder

ENCODERS: dict[str, Any] = {
    "residual": ResidualEncoder, "unet": UnetEncoder, "mednext": MedNextEncoder, "swin": SwinEncoder,
    "vit": VitEncoder,
}  # fmt: skip


def build_encoder(config: NetworkConfig) -> Encoder:
    """The encoder of a network's section; its weights come from torch's generator (`encoder.seeded`)."""
    encoder: Encoder = ENCODERS[config.kind](config)
    return encoder
