"""VoCo (Wu et al. 2024, arXiv 2402.17300): how much of each base crop of a grid lies in a random crop?

Anatomy stands in much the same order in every head, so a net that knows what it sees knows where it is. The
similarity between a random crop and a base crop should be the share of their overlap; base crops should differ.

The losses are written after the paper's equations, taken from memory: prediction -mean log(1 - |share - similarity|)
over base crops that get no gradient from it, and the mean absolute similarity between base crops. The authors' code,
which differs in details (a slow copy for the base crops, a term of its own for those without overlap), is not followed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cairn.config.contrastive import VocoConfig
from cairn.config.networks import NetworkConfig
from cairn.io.sessions import Session
from cairn.nets.registry import build_encoder
from cairn.ssl.augment import apply_intensity, apply_spatial, draw_intensity, draw_spatial
from cairn.ssl.crops import Voxels, brain_origin, one_sequence
from cairn.ssl.cuts import AugmentedObjective, Cut
from cairn.ssl.heads import full_precision, projected, projector
from cairn.ssl.objective import Views

EPS = 1e-6


class VoCo(AugmentedObjective):
    """Encoder and projector on a random crop and a grid of base crops.

    Beyond the paper, the grid is 3D (there a slab of CT, 4 x 4), and stands where the brain is.

    Args:
        config: crops, grid, augmentation, projector.
        network: the encoder's section.

    Raises:
        CairnError: when the crop does not fit the network, or the grid has one crop.
    """

    def __init__(self, config: VocoConfig, network: NetworkConfig) -> None:
        super().__init__()
        config.check(network)
        self.config = config
        self.encoder = build_encoder(network)
        self.projector = projector(2 * network.channels[-1], config.projector)

    def cut(self, session: Session, draw: np.random.Generator, seeded: bool = False) -> Cut:
        """``block``, of the whole grid, and ``share`` ``[M]``; changes of the block, origins and changes of crops."""
        config, size = self.config, self.config.patch_voxels
        block = (size[0] * config.grid[0], size[1] * config.grid[1], size[2] * config.grid[2])
        volume = session.patch(one_sequence(session, draw), brain_origin(session, block, draw), block)
        moves = draw_spatial(config.spatial, draw)
        origin = [int(draw.integers(whole - side + 1)) for whole, side in zip(block, size, strict=True)]
        corners = base_origins(config.grid, size)
        crops = [(o, draw_intensity(config.intensity, size, draw, seeded)) for o in (origin, *corners)]
        share = torch.tensor([overlap(origin, corner, size) for corner in corners])
        return Cut({"block": torch.from_numpy(volume), "share": share}, {"block": moves, "crops": crops})

    def change(self, cut: Cut) -> Views:
        """``crop`` ``[X, Y, Z]``, ``bases`` ``[M, X, Y, Z]``, and ``share`` ``[M]``: of the crop, in each base."""
        moved, size = apply_spatial(cut.tensors["block"][None], cut.drawn["block"])[0], self.config.patch_voxels
        crop, *bases = (apply_intensity(_cut(moved, o, size), tones) for o, tones in cut.drawn["crops"])
        return {"crop": crop, "bases": torch.stack(bases), "share": cut.tensors["share"]}

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Prediction of the shares, plus the weighted similarity between base crops."""
        crops_NXYZ, bases_NMXYZ = batch["crop"], batch["bases"]
        together = torch.cat([crops_NXYZ, bases_NMXYZ.flatten(0, 1)])
        z = projected(self.encoder, self.projector, together)
        count = len(crops_NXYZ)
        crop_ND, bases_NMD = z[:count], z[count:].unflatten(0, bases_NMXYZ.shape[:2])
        with full_precision(z):
            prediction = prediction_loss(crop_ND, bases_NMD.detach(), batch["share"])
            return prediction + self.config.regulariser * base_similarity(bases_NMD)

    def embed(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Projection of the random crop, ``[N, D]``."""
        return projected(self.encoder, self.projector, batch["crop"])


def prediction_loss(crop_ND: Tensor, bases_NMD: Tensor, share_NM: Tensor) -> Tensor:
    """Mean of -log(1 - d), d the distance between a pair's share and its similarity, clamped at 0 from below."""
    similarity_NM = functional.cosine_similarity(crop_ND[:, None], bases_NMD, dim=2).relu()
    return -torch.log1p(-(share_NM - similarity_NM).abs() * (1 - EPS)).mean()


def base_similarity(bases_NMD: Tensor) -> Tensor:
    """Mean absolute similarity between two base crops of a sample."""
    unit = functional.normalize(bases_NMD, dim=2)
    similarity_NMM = (unit @ unit.transpose(1, 2)).abs()
    first, second = torch.triu_indices(unit.shape[1], unit.shape[1], 1, device=unit.device)
    return similarity_NMM[:, first, second].mean()


def base_origins(grid: Voxels, size: Voxels) -> list[list[int]]:
    """Origins of base crops side by side, relative to the first, last axis fastest."""
    return [[i * s for i, s in zip(place, size, strict=True)] for place in product(*map(range, grid))]


def overlap(a: Sequence[int], b: Sequence[int], size: Voxels) -> float:
    """Share of a crop at ``a`` that lies in a crop at ``b`` of the same size."""
    return float(np.prod([max(0, s - abs(i - j)) / s for i, j, s in zip(a, b, size, strict=True)]))


def _cut(x_XYZ: Tensor, origin: Sequence[int], size: Voxels) -> Tensor:
    x, y, z = (slice(o, o + s) for o, s in zip(origin, size, strict=True))
    return x_XYZ[x, y, z].contiguous()
