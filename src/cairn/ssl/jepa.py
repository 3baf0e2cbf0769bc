"""Joint-embedding prediction in 3D (I-JEPA: Assran et al. 2023, arXiv 2301.08243).

From the features of a context, a narrow predictor tells the features that a target encoder, the moving average of the
encoder, sees at target blocks in the whole view. Nothing is predicted in voxels.

Differences from the published method, which is for a 2D ViT:

- What the encoder must not see is 0 in its *input*; a ViT drops those tokens instead. So it runs on any backbone. In a
  convolutional one, features at the context's rim know that something is hidden beside them.
- The predictor fills all target blocks in at once (published: block by block). The mask tokens hold places only, so
  all they tell each other is where else to predict.

The target encoder is what fine-tuning starts from, as the paper evaluates it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cairn.config.latents import JepaConfig
from cairn.config.networks import NetworkConfig
from cairn.io.sessions import Session
from cairn.nets.blocks import pooled
from cairn.nets.registry import build_encoder
from cairn.ssl.across import mean_weight
from cairn.ssl.augment import apply_spatial, draw_spatial
from cairn.ssl.crops import one_sequence
from cairn.ssl.cuts import AugmentedObjective, Cut
from cairn.ssl.heads import at_least_float32
from cairn.ssl.hidden import hide
from cairn.ssl.latents_blocks import target_and_context
from cairn.ssl.latents_crops import crop_origin
from cairn.ssl.objective import Views
from cairn.ssl.teacher import Teacher


class JointEmbeddingPrediction(AugmentedObjective):
    """Encoder, predictor, target encoder.

    Args:
        config: view, blocks, predictor, teacher.
        network: the encoder's section.

    Raises:
        CairnError: when the view does not suit the network.
    """

    saved = "teacher_encoder.network"

    def __init__(self, config: JepaConfig, network: NetworkConfig) -> None:
        super().__init__()
        config.check(network)
        self.config = config
        self.grid = [n // network.stride for n in config.patch_voxels]
        self.encoder = build_encoder(network)
        self.predictor = Predictor(config, network.channels[-1], self.grid)
        self.teacher_encoder = Teacher(self.encoder, config.teacher)

    def cut(self, session: Session, draw: np.random.Generator, seeded: bool = False) -> Cut:
        """``patch`` ``[X, Y, Z]``; ``target`` and ``context``, marks of deepest voxels ``[x, y, z]``; its changes."""
        c = self.config
        sequence = one_sequence(session, draw)
        origin = crop_origin(session, c.patch_voxels, draw).tolist()
        patch = torch.from_numpy(session.patch(sequence, origin, c.patch_voxels))
        moves = draw_spatial(c.spatial, draw)
        target, context = target_and_context(self.grid, c, draw)
        return Cut({"patch": patch, "target": target, "context": context}, {"view": moves})

    def change(self, cut: Cut) -> Views:
        """``view`` ``[X, Y, Z]``; ``target`` and ``context``, marks of deepest voxels ``[x, y, z]``."""
        view = apply_spatial(cut.tensors["patch"][None], cut.drawn["view"])[0].contiguous()
        return {"view": view, "target": cut.tensors["target"], "context": cut.tensors["context"]}

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Smooth L1 at the target voxels, between the prediction and the layer-normalised target features."""
        view, target, context = batch["view"], batch["target"], batch["context"]
        aim = normalised(at_least_float32(self.teacher_encoder(view[:, None])[-1]))
        deep = self.encoder(hide(view, ~context)[:, None])[-1]
        guess = at_least_float32(self.predictor(deep, context, target))
        return functional.smooth_l1_loss(guess[target], aim[target]) * mean_weight(target.sum())

    def embed(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean and maximum of the target encoder's deepest features of the view, ``[N, 2 C]``."""
        return pooled(self.teacher_encoder(batch["view"][:, None])[-1]).float()

    def after_update(self, step: int) -> None:
        """The target encoder follows."""
        self.teacher_encoder.follow(self.encoder, step)


class Predictor(nn.Module):  # type: ignore[misc]
    """A narrow transformer over the deepest grid, with fixed sine-cosine places.

    Args:
        config: width, layers, heads.
        channels: of the deepest features.
        grid: deepest voxels along each axis.
    """

    places: Tensor

    def __init__(self, config: JepaConfig, channels: int, grid: Sequence[int]) -> None:
        super().__init__()
        width = config.predictor_channels
        self.enter, self.leave = nn.Linear(channels, width), nn.Linear(width, channels)
        self.mask_token = nn.Parameter(torch.zeros(1, width))
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        self.register_buffer("places", sine_places(grid, width), persistent=False)
        layer = nn.TransformerEncoderLayer(
            width, config.predictor_heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        norm = nn.LayerNorm(width)
        self.layers = nn.TransformerEncoder(layer, config.predictor_layers, norm, enable_nested_tensor=False)

    def forward(self, x_NCXYZ: Tensor, context_NXYZ: Tensor, target_NXYZ: Tensor) -> Tensor:
        """Predicted features ``[N, X, Y, Z, C]``; they mean something at targets alone.

        Args:
            x_NCXYZ: deepest features; those outside the context are not read.
            context_NXYZ: marks of the context's voxels.
            target_NXYZ: marks of the target's voxels.
        """
        context_NT, target_NT = context_NXYZ.flatten(1), target_NXYZ.flatten(1)
        x = torch.where(context_NT[:, :, None], self.enter(x_NCXYZ.flatten(2).transpose(1, 2)), self.mask_token)
        x = self.layers(x + self.places.to(x.dtype), src_key_padding_mask=~(context_NT | target_NT))
        return self.leave(x).unflatten(1, x_NCXYZ.shape[2:])


def sine_places(grid: Sequence[int], width: int) -> Tensor:
    """Sines and cosines of each voxel's place at ``width / 6`` rates an axis, ``[X Y Z, width]`` (Vaswani et al. 2017).

    MONAI has them too, but warns of a future of torch at each call.
    """
    rates = 10_000.0 ** -(torch.arange(width // 6) / (width // 6))
    axes = torch.meshgrid(*(torch.arange(n) for n in grid), indexing="ij")
    angles = [axis.flatten()[:, None] * rates for axis in axes]
    return torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], dim=1)


def normalised(x_NCXYZ: Tensor) -> Tensor:
    """Layer-normalised over channels, channels last, ``[N, X, Y, Z, C]``."""
    return functional.layer_norm(x_NCXYZ.movedim(1, -1), x_NCXYZ.shape[1:2])
