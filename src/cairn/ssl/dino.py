"""Self-distillation without labels in 3D: DINO, iBOT, KoLeo as in DINOv2 (Oquab et al. 2023, arXiv 2304.07193).

A student sees two global crops, with cubes hidden, and small local ones. It must assign each to prototypes as a
teacher, its own moving average, assigns the other whole global crop, and each hidden place as the teacher assigns it.

Differences from the published method, which is for a 2D ViT:

- Cubes of the deepest stride are hidden in the *input*, by zeros, where a ViT would put a mask token in their place: so
  it runs on any backbone. In a convolutional one a hidden place still sees its surroundings: from these it must tell.
- A crop's feature is mean and maximum of the deepest features, for lack of a class token.
- Local crops are cut, not cut and resized: in a scan size has a meaning. They lie in the first global crop.
- Every global crop has hidden cubes (published: half of them), so a batch of one has too.

The teacher's encoder is what fine-tuning starts from, as DINOv2 evaluates it: an average of students is better than
each of them, all along the training.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from cairn.config.latents import DinoConfig
from cairn.config.networks import NetworkConfig
from cairn.io.sessions import Session
from cairn.nets.blocks import pooled
from cairn.nets.registry import build_encoder
from cairn.ssl.crops import CropChanges, Voxels, draw_changes, one_sequence
from cairn.ssl.cuts import AugmentedObjective, Cut
from cairn.ssl.heads import at_least_float32
from cairn.ssl.hidden import hide
from cairn.ssl.latents_assign import hidden_loss, koleo, view_loss
from cairn.ssl.latents_crops import Whole, crop_origin, inner_origin, partner_origin
from cairn.ssl.latents_heads import PrototypeHead
from cairn.ssl.latents_targets import PrototypeTargets
from cairn.ssl.mae import random_mask
from cairn.ssl.objective import Views
from cairn.ssl.pace import Pace, prototype_pace
from cairn.ssl.teacher import Teacher


class SelfDistillation(AugmentedObjective):
    """Student and teacher: encoder, head of whole crops, head of hidden places.

    Args:
        config: crops, heads, targets, weights, teacher.
        network: the encoder's section.

    Raises:
        CairnError: when the crops do not suit the network.
    """

    saved = "teacher_encoder.network"
    updates: Tensor

    def __init__(self, config: DinoConfig, network: NetworkConfig) -> None:
        super().__init__()
        config.check(network)
        self.config, self.stride = config, network.stride
        deepest, sizes = network.channels[-1], (config.head_hidden, config.head_bottleneck, config.prototypes)
        self.encoder = build_encoder(network)
        self.crop_head = PrototypeHead(2 * deepest, *sizes)
        self.place_head = PrototypeHead(deepest, *sizes)
        self.teacher_encoder = Teacher(self.encoder, config.teacher)
        self.teacher_crop_head = Teacher(self.crop_head, config.teacher)
        self.teacher_place_head = Teacher(self.place_head, config.teacher)
        self.crop_targets, self.place_targets = PrototypeTargets(config), PrototypeTargets(config)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def cut(self, session: Session, draw: np.random.Generator, seeded: bool = False) -> Cut:
        """``global``, ``hidden``, ``local``, as in `change`; changes of each global and each local crop."""
        c = self.config
        sequence = one_sequence(session, draw)
        first = crop_origin(session, c.patch_voxels, draw)
        second = partner_origin(session, first, c.patch_voxels, c.overlap, draw)
        wide = [self._crop(session, sequence, o, c.patch_voxels, draw, seeded) for o in (first, second)]
        places = (inner_origin(session, first, c.patch_voxels, c.local_voxels, draw) for _ in range(c.local_crops))
        small = [self._crop(session, sequence, o, c.local_voxels, draw, seeded) for o in places]
        hidden = torch.stack([self._hidden(draw) for _ in wide])
        stacked = {name: torch.stack([x for x, _ in crops]) for name, crops in (("global", wide), ("local", small))}
        changes = {"global": [change for _, change in wide], "local": [change for _, change in small]}
        return Cut({**stacked, "hidden": hidden}, changes)

    def _crop(
        self, session: Session, sequence: str, origin: Whole, size: Voxels, draw: np.random.Generator, seeded: bool
    ) -> tuple[Tensor, CropChanges]:
        patch = torch.from_numpy(session.patch(sequence, origin.tolist(), size))
        return patch, draw_changes(self.config.spatial, self.config.intensity, size, draw, seeded)

    def change(self, cut: Cut) -> Views:
        """``global`` ``[2, X, Y, Z]``, ``hidden`` ``[2, x, y, z]`` (deepest voxels), ``local`` ``[L, X', Y', Z']``."""
        views = {
            name: torch.stack([change.apply(x) for x, change in zip(cut.tensors[name], changes, strict=True)])
            for name, changes in cut.drawn.items()
        }
        return {**views, "hidden": cut.tensors["hidden"]}

    def _hidden(self, draw: np.random.Generator) -> Tensor:
        x, y, z = (n // self.stride for n in self.config.patch_voxels)
        share = max(draw.uniform(*self.config.mask_ratio), 1 / (x * y * z))
        return random_mask((x, y, z), 1, share, draw)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Weighted sum of DINO, iBOT and, for each global crop, KoLeo. In training mode the centres advance."""
        c = self.config
        # Crop by crop, not sample by sample.
        wide, hidden, local = (batch[k].transpose(0, 1).flatten(0, 1) for k in ("global", "hidden", "local"))
        crops, places = self._teacher_targets(wide, hidden)
        deep = self.encoder(hide(wide, hidden)[:, None])[-1]
        whole = pooled(deep)
        features = torch.cat([whole, pooled(self.encoder(local[:, None])[-1])])
        logits = self.crop_head(features).unflatten(0, (2 + c.local_crops, -1))
        hidden_logits = self.place_head(deep.movedim(1, -1)[hidden])
        return (
            c.dino_weight * view_loss(crops.unflatten(0, (2, -1)), logits, c.student_temperature)
            + c.ibot_weight * hidden_loss(places, hidden_logits, hidden, c.student_temperature)
            + c.koleo_weight * sum(koleo(crop) for crop in at_least_float32(whole).chunk(2))
        )

    def _teacher_targets(self, wide_NXYZ: Tensor, hidden_NXYZ: Tensor) -> tuple[Tensor, Tensor]:
        """What the teacher assigns to each global crop ``[N, K]``, and to each hidden place ``[M, K]``."""
        deep = self.teacher_encoder(wide_NXYZ[:, None])[-1]  # a teacher's outputs carry no gradient
        crops = self.teacher_crop_head(pooled(deep))
        places = self.teacher_place_head(deep.movedim(1, -1)[hidden_NXYZ])
        updates = int(self.updates)
        return self.crop_targets(crops, updates), self.place_targets(places, updates)

    def pace(self, name: str) -> Pace:
        """Prototypes may begin later."""
        return prototype_pace(name, self.config)

    def embed(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean and maximum of the teacher's deepest features of the first global crop, ``[N, 2 C]``."""
        return pooled(self.teacher_encoder(batch["global"][:, :1])[-1]).float()

    def after_update(self, step: int) -> None:
        """The teacher follows, its temperature rises."""
        self.teacher_encoder.follow(self.encoder, step)
        self.teacher_crop_head.follow(self.crop_head, step)
        self.teacher_place_head.follow(self.place_head, step)
        self.updates.fill_(step)
