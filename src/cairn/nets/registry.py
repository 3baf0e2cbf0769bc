"""Backbones by kind. A new one is a file with a class, a section in the configuration, and a line here."""

from __future__ import annotations

from typing import Any

from cairn.config.networks import NetworkConfig, check_dims
from cairn.nets.dinov2 import Dinov2Encoder
from cairn.nets.encoder import Encoder, ResidualEncoder
from cairn.nets.mednext import MedNextEncoder
from cairn.nets.pixels import PixelsEncoder
from cairn.nets.slice_encoder import SliceEncoder
from cairn.nets.swin import SwinEncoder
from cairn.nets.unet import UnetEncoder
from cairn.nets.vit import VitEncoder

ENCODERS: dict[str, Any] = {
    "residual": ResidualEncoder, "unet": UnetEncoder, "mednext": MedNextEncoder, "swin": SwinEncoder,
    "vit": VitEncoder, "dinov2": Dinov2Encoder, "pixels": PixelsEncoder,
}  # fmt: skip


def build_encoder(config: NetworkConfig) -> Encoder:
    """The encoder of a network's section; its weights come from torch's generator (`encoder.seeded`)."""
    encoder: Encoder = ENCODERS[config.kind](config)
    return encoder


def build_slice_encoder(config: NetworkConfig) -> SliceEncoder:
    """`build_encoder` for where slices are encoded.

    Raises:
        CairnError: when the section is of a network for volumes (code ``config``).
    """
    check_dims(config, 2, "This encoder")
    encoder = build_encoder(config)
    assert isinstance(encoder, SliceEncoder)
    return encoder
