"""Masked autoencoding with augmentations to undo (AMAES: Munk et al. 2024; FOMO25's baseline).

The view is the target with intensities changed and most cubes hidden; the net gives the unchanged, whole target back.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from cairn.config.networks import NetworkConfig
from cairn.config.objectives import MaeConfig
from cairn.io.sessions import Session
from cairn.nets.blocks import pooled
from cairn.nets.decoders import LightDecoder
from cairn.nets.encoder import standardised
from cairn.nets.registry import build_encoder
from cairn.ssl.augment import apply_intensity, apply_spatial, draw_intensity, draw_spatial
from cairn.ssl.crops import one_sequence
from cairn.ssl.cuts import AugmentedObjective, Cut
from cairn.ssl.heads import at_least_float32
from cairn.ssl.hidden import cubes, reconstruction_error
from cairn.ssl.objective import Views


class MaskedAutoencoder(AugmentedObjective):
    """Encoder, light decoder, squared error.

    Args:
        config: view, mask and augmentation.
        network: the encoder's section.

    Raises:
        CairnError: when the view does not divide by the network's stride or the mask's unit.
    """

    def __init__(self, config: MaeConfig, network: NetworkConfig) -> None:
        super().__init__()
        config.check(network)
        self.config = config
        self.encoder = build_encoder(network)
        self.decoder = LightDecoder(network)

    def cut(self, session: Session, draw: np.random.Generator, seeded: bool = False) -> Cut:
        """``patch`` and ``hidden`` (the mask), each ``[X, Y, Z]``; changes for ``target`` and ``view``."""
        config = self.config
        sequence = one_sequence(session, draw)
        origin = random_origin(session.geometry.shape, config.patch_voxels, draw)
        patch = torch.from_numpy(session.patch(sequence, origin, config.patch_voxels))
        if self.encoder.config.standardise:
            patch = standardised(patch[None, None])[0, 0]  # so that the target has one scale too
        moves = draw_spatial(config.spatial, draw)
        hidden = random_mask(config.patch_voxels, config.mask_unit_voxels, config.mask_ratio, draw)
        tones = draw_intensity(config.intensity, config.patch_voxels, draw, seeded)
        return Cut({"patch": patch, "hidden": hidden}, {"target": moves, "view": tones})

    def change(self, cut: Cut) -> Views:
        """``view`` (augmented and masked), ``target``, ``hidden`` (the mask): each ``[X, Y, Z]``."""
        hidden = cut.tensors["hidden"]
        target = apply_spatial(cut.tensors["patch"][None], cut.drawn["target"])[0].contiguous()
        view = apply_intensity(target, cut.drawn["view"]).masked_fill(hidden, 0.0)
        return {"view": view, "target": target, "hidden": hidden}

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean squared error over the view, or over its hidden voxels."""
        image = at_least_float32(self.decoder(self.encoder(batch["view"][:, None])[-1])[:, 0])
        hidden = batch["hidden"] if self.config.loss_on == "masked" else None
        return reconstruction_error(image, batch["target"], hidden)

    def embed(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean and maximum of the deepest features of the view, ``[N, 2 C]``."""
        return pooled(self.encoder(batch["view"][:, None])[-1]).float()


def random_origin(shape: tuple[int, int, int], size: tuple[int, int, int], draw: np.random.Generator) -> list[int]:
    """Origin of a box of ``size`` inside a grid of ``shape``; along an axis that is too short, it stands centred."""
    return [int(draw.integers(n - s + 1)) if n >= s else (n - s) // 2 for n, s in zip(shape, size, strict=True)]


def random_mask(size: tuple[int, int, int], unit: int, ratio: float, draw: np.random.Generator) -> Tensor:
    """Boolean mask ``size``: True in exactly ``round(ratio * cubes)`` cubes of side ``unit``."""
    grid = [n // unit for n in size]
    count = int(np.prod(grid))
    hidden = torch.zeros(count, dtype=torch.bool)
    hidden[torch.from_numpy(draw.permutation(count)[: round(ratio * count)])] = True
    return cubes(hidden.view(1, *grid), unit)[0]
