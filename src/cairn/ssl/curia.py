"""Curia's pretraining in 2D: DINO, iBOT and KoLeo on slices of CT and MRI, as DINOv2 has them, and Curia-2's changes.

DINOv2: Oquab et al. 2023 (arXiv 2304.07193). Curia: arXiv 2509.06830. Curia-2: arXiv 2604.01987. What both leave open
is configuration, with its source (`cairn.config.curia`).

A student sees two global crops of a slice, half of them with patches replaced by a mask token, and small local crops.
It must assign each to prototypes as a teacher, its own moving average, assigns the other whole global crop, and each
hidden patch as the teacher assigns it. Curia-2 cuts crops where content is, hides patches around the anatomy, draws
class tokens towards a standard normal, and begins at a low resolution; each is a switch that is off by default.

The teacher's encoder is what is kept, as the released weights are the teacher's. Heads, teacher and optimiser are in
the training state, from which a longer run goes on.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from cairn.config.curia import CuriaConfig, patch_size
from cairn.config.networks import NetworkConfig
from cairn.io.sessions import Session
from cairn.nets.dinov2 import Dinov2Encoder
from cairn.nets.registry import build_slice_encoder
from cairn.ssl.curia_crops import cut, draw_box
from cairn.ssl.curia_masks import hidden_patches, in_grid
from cairn.ssl.curia_slices import draw_slice
from cairn.ssl.draws import generator
from cairn.ssl.heads import at_least_float32
from cairn.ssl.latents_assign import hidden_loss, koleo, view_loss
from cairn.ssl.latents_heads import PrototypeHead
from cairn.ssl.latents_targets import PrototypeTargets
from cairn.ssl.objective import Objective, Views
from cairn.ssl.pace import Pace, layer_share, prototype_pace
from cairn.ssl.sigreg import sigreg
from cairn.ssl.teacher import Teacher


class CuriaObjective(Objective):
    """Student and teacher: encoder of slices, head of class tokens, head of hidden patches (or one for both).

    Args:
        config: slices, crops, masks, targets, weights, teacher.
        network: the encoder's section, of two dimensions.

    Raises:
        CairnError: when the network is none of slices, or crops are no whole patches.
    """

    saved = "teacher_encoder.network"
    encoder: Dinov2Encoder
    updates: Tensor

    def __init__(self, config: CuriaConfig, network: NetworkConfig) -> None:
        super().__init__()
        config.check(network)
        self.config, self.patch = config, patch_size(network)
        encoder = build_slice_encoder(network)
        assert isinstance(encoder, Dinov2Encoder)  # as checked
        self.encoder = encoder
        self.width = int(self.encoder.config.hidden_size)
        sizes = (config.head_hidden, config.head_bottleneck, config.prototypes)
        self.crop_head = PrototypeHead(self.width, *sizes)
        self.place_head = None if config.shared_head else PrototypeHead(self.width, *sizes)
        self.teacher_encoder = Teacher(self.encoder, config.teacher)
        self.teacher_crop_head = Teacher(self.crop_head, config.teacher)
        self.teacher_place_head = Teacher(self.place_head, config.teacher) if self.place_head else None
        self.crop_targets, self.place_targets = PrototypeTargets(config), PrototypeTargets(config)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def views(self, session: Session, draw: np.random.Generator) -> Views:
        """``global`` ``[2, H, W]``, ``hidden`` ``[2, h, w]`` (patches), ``local`` ``[L, H', W']``: the last stage's."""
        return self._views(session, draw, None)

    def views_at(self, session: Session, draw: np.random.Generator, step: int) -> Views:
        """`views` at the resolution of the step's stage."""
        return self._views(session, draw, step)

    def _views(self, session: Session, draw: np.random.Generator, step: int | None) -> Views:
        c = self.config
        side, small_side = c.sides(step, self.patch)
        piece = draw_slice(session, c, draw)
        wide, hidden, small = [], [], []
        for _ in range(2):
            box = draw_box(piece.content, c.global_scale, c, draw)
            grid = side // self.patch
            place = in_grid(piece.content.centre, box, grid) if c.masks == "anatomy" else None
            marks = hidden_patches(grid, place, c, draw)
            flipped = self._flipped(piece.plane, draw)
            wide.append(cut(piece, box, side, flipped, c, draw))
            hidden.append(marks.flip(1) if flipped else marks)
        for _ in range(c.local_crops):
            box = draw_box(piece.content, c.local_scale, c, draw)
            small.append(cut(piece, box, small_side, self._flipped(piece.plane, draw), c, draw))
        return {"global": torch.stack(wide), "hidden": torch.stack(hidden), "local": torch.stack(small)}

    def _flipped(self, plane: str, draw: np.random.Generator) -> bool:
        return bool(draw.random() < self.config.flip) and plane != "sagittal"

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Weighted sum of DINO, iBOT, and for each global crop KoLeo and SIGReg. In training the centres advance."""
        c = self.config
        # Crop by crop, not sample by sample.
        wide, hidden, local = (batch[k].transpose(0, 1).flatten(0, 1) for k in ("global", "hidden", "local"))
        crops, places = self._teacher_targets(wide, hidden)
        whole, patches = self.encoder.tokens(wide[:, None], hidden)
        small, _ = self.encoder.tokens(local[:, None])
        logits = self.crop_head(torch.cat([whole, small])).unflatten(0, (2 + c.local_crops, -1))
        hidden_logits = (self.place_head or self.crop_head)(patches[hidden])
        spread = at_least_float32(whole).chunk(2)
        loss = (
            c.dino_weight * view_loss(crops.unflatten(0, (2, -1)), logits, c.student_temperature)
            + c.ibot_weight * hidden_loss(places, hidden_logits, hidden, c.student_temperature)
            + c.koleo_weight * sum(koleo(crop) for crop in spread)
        )
        if c.sigreg_weight:
            directions = self._directions(spread[0])
            loss = loss + c.sigreg_weight * sum(sigreg(crop, directions, c.sigreg_points) for crop in spread) / 2
        return loss

    def _directions(self, like: Tensor) -> Tensor:
        """SIGReg's directions of this update, with device and type of ``like``: the same in every process and run."""
        draw = generator(0, "sigreg directions", int(self.updates))
        drawn = draw.standard_normal((self.config.sigreg_directions, self.width), np.float32)
        return torch.from_numpy(drawn).to(like)

    def _teacher_targets(self, wide_NHW: Tensor, hidden_Nhw: Tensor) -> tuple[Tensor, Tensor]:
        """What the teacher assigns to each global crop ``[N, K]``, and to each hidden patch ``[M, K]``."""
        with torch.no_grad():
            whole, patches = self.teacher_encoder.network.tokens(wide_NHW[:, None])
        place_head = self.teacher_place_head or self.teacher_crop_head
        crops, places = self.teacher_crop_head(whole), place_head(patches[hidden_Nhw])
        updates = int(self.updates)
        return self.crop_targets(crops, updates), self.place_targets(places, updates)

    def pace(self, name: str) -> Pace:
        """Prototypes may begin later; in the encoder the rate may fall layer by layer towards the image (DINOv2)."""
        of_encoder = name.removeprefix("encoder.")
        if of_encoder == name:
            return prototype_pace(name, self.config)
        share = layer_share(self.encoder.depth(of_encoder), self.encoder.config.layers, self.config.layer_decay)
        return Pace(share * (self.config.patch_embed_rate if self.encoder.embeds_patches(of_encoder) else 1.0))

    def embed(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The teacher's class token of the first global crop, ``[N, D]``."""
        with torch.no_grad():
            return at_least_float32(self.teacher_encoder.network.tokens(batch["global"][:, :1])[0])

    def after_update(self, step: int) -> None:
        """The teacher follows, its temperature rises."""
        self.teacher_encoder.follow(self.encoder, step)
        self.teacher_crop_head.follow(self.crop_head, step)
        if self.teacher_place_head:
            self.teacher_place_head.follow(self.place_head, step)
        self.updates.fill_(step)
