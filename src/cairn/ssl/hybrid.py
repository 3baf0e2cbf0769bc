"""Hybrid of reconstruction and contrast with region-aligned overlap (LatentCampus, FOMO25; arXiv 2509.13846).

Two overlapping crops of a scan. The student fills hidden cubes in, gives in the overlap the features that a teacher
sees in the other, whole crop, and tells a crop's partner from the crops of other scans. What the paper's summary leaves
open is set here: both directions (student of one crop, teacher of the other) count alike; NT-Xent compares the
student's own two projections; the features are those of the deepest stage.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cairn.config.latents import HybridConfig
from cairn.config.networks import NetworkConfig
from cairn.io.sessions import Session
from cairn.nets.blocks import pooled
from cairn.nets.decoders import LightDecoder
from cairn.nets.registry import build_encoder
from cairn.ssl.augment import apply_intensity, apply_spatial, draw_intensity, draw_spatial
from cairn.ssl.crops import one_sequence
from cairn.ssl.cuts import AugmentedObjective, Cut
from cairn.ssl.heads import at_least_float32, nt_xent, projector
from cairn.ssl.hidden import reconstruction_error
from cairn.ssl.latents_align import common_region, roi_align
from cairn.ssl.latents_crops import box_of_two, two_of
from cairn.ssl.mae import random_mask
from cairn.ssl.objective import Views
from cairn.ssl.teacher import Teacher


class HybridAlignment(AugmentedObjective):
    """Student encoder with decoder and projector; teacher encoder.

    Args:
        config: crops, masks, weights of the three losses, teacher.
        network: the encoder's section.

    Raises:
        CairnError: when the crops, their overlap or the cubes do not suit the network.
    """

    def __init__(self, config: HybridConfig, network: NetworkConfig) -> None:
        super().__init__()
        config.check(network)
        self.config, self.stride = config, network.stride
        self.encoder = build_encoder(network)
        self.decoder = LightDecoder(network)
        self.projector = projector(2 * network.channels[-1], [config.projection_hidden, config.projection], nn.GELU)
        self.teacher = Teacher(self.encoder, config.teacher)

    def cut(self, session: Session, draw: np.random.Generator, seeded: bool = False) -> Cut:
        """``box`` around both crops, ``hidden`` ``[2, X, Y, Z]``, ``shift``; changes, and where the crops lie."""
        c = self.config
        box, origins = box_of_two(session, one_sequence(session, draw), c.patch_voxels, c.overlap, draw)
        moves = draw_spatial(c.spatial, draw)
        tones = [draw_intensity(c.intensity, c.patch_voxels, draw, seeded) for _ in origins]
        hidden = [random_mask(c.patch_voxels, c.mask_unit_voxels, c.mask_ratio, draw) for _ in origins]
        shift = torch.from_numpy(origins[1] - origins[0])
        tensors = {"box": box, "hidden": torch.stack(hidden), "shift": shift}
        return Cut(tensors, {"box": moves, "origins": origins, "view": tones})

    def change(self, cut: Cut) -> Views:
        """``target`` (two crops), ``view`` (with changed intensities), ``hidden``: each ``[2, X, Y, Z]``; ``shift``."""
        box = apply_spatial(cut.tensors["box"][None], cut.drawn["box"])[0]
        target = two_of(box, cut.drawn["origins"], self.config.patch_voxels)
        view = torch.stack([apply_intensity(x, tones) for x, tones in zip(target, cut.drawn["view"], strict=True)])
        return {"view": view, "target": target, "hidden": cut.tensors["hidden"], "shift": cut.tensors["shift"]}

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Weighted sum of squared error, 1 - cosine in the overlap, and NT-Xent."""
        c = self.config
        # Crop by crop, not sample by sample: the first half of what is stacked are the first crops.
        view, target, hidden = (batch[k].transpose(0, 1).flatten(0, 1) for k in ("view", "target", "hidden"))
        deep = self.encoder(view.masked_fill(hidden, 0.0)[:, None])[-1]
        image = at_least_float32(self.decoder(deep)[:, 0])
        error = reconstruction_error(image, target, hidden if c.loss_on == "masked" else None)
        seen = at_least_float32(self.teacher(view[:, None])[-1])
        one, two = at_least_float32(self.projector(pooled(deep))).chunk(2)
        return (
            c.reconstruction_weight * error
            + c.alignment_weight * self._misalignment(at_least_float32(deep), seen, batch["shift"])
            + c.contrast_weight * nt_xent(one, two, c.temperature)
        )

    def _misalignment(self, student: Tensor, teacher: Tensor, shift_N3: Tensor) -> Tensor:
        """1 - cosine over channels, mean over the common region's points; student of one crop, teacher of the other."""
        low, high = common_region(shift_N3, self.config.patch_voxels, self.stride)
        lows, highs = torch.cat([low, low - shift_N3]), torch.cat([high, high - shift_N3])
        own, its = (roi_align(x, lows, highs, self.stride, self.config.align_points) for x in (student, teacher))
        return 1 - functional.cosine_similarity(own, its.roll(len(shift_N3), dims=0), dim=1).mean()

    def embed(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean and maximum of the deepest features of the first crop, unmasked, ``[N, 2 C]``."""
        return pooled(self.encoder(batch["view"][:, :1])[-1]).float()

    def after_update(self, step: int) -> None:
        """The teacher follows."""
        self.teacher.follow(self.encoder, step)
