"""Subject and sequence latents (FOMO25's winner, FOMO2JOMO: arXiv 2601.13166).

Two scans of a session at one place give two latents each: one of the subject, to be alike, one of the sequence, to
differ. A light decoder rebuilds each scan from its own latents, and from both scans' mean subject latent.

Set here where the source is silent: every term is a mean (over voxels, channels, scans), cosines are over channels at
each deepest voxel and of the latents' means, and a duplicated scan, whose sequence is one, has no sequence term.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cairn.config.latents import SubjectSequenceConfig
from cairn.config.networks import NetworkConfig
from cairn.io.sessions import Session
from cairn.nets.blocks import pooled
from cairn.nets.decoders import LightDecoder
from cairn.nets.registry import build_encoder
from cairn.ssl.across import mean_weight
from cairn.ssl.augment import apply_spatial, draw_spatial
from cairn.ssl.cuts import AugmentedObjective, Cut
from cairn.ssl.heads import at_least_float32
from cairn.ssl.latents_crops import crop_origin
from cairn.ssl.mae import random_mask
from cairn.ssl.objective import Views

LOG_VARIANCE = 10.0  # the log-variance stays within this: exp of more overflows in half precision


class SubjectSequence(AugmentedObjective):
    """Encoder, 1x1x1 convolutions to the two latents' means and log-variances, light decoder.

    Args:
        config: view, mask, weights of the terms.
        network: the encoder's section.

    Raises:
        CairnError: when the view does not divide by the network's stride or the mask's unit.
    """

    updates: Tensor

    def __init__(self, config: SubjectSequenceConfig, network: NetworkConfig) -> None:
        super().__init__()
        config.check(network)
        self.config = config
        self.encoder = build_encoder(network)
        self.to_latents = nn.Conv3d(sum(network.channels), 4 * config.latent_channels, kernel_size=1)
        self.from_latents = nn.Conv3d(2 * config.latent_channels, network.channels[-1], kernel_size=1)
        self.decoder = LightDecoder(network)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def cut(self, session: Session, draw: np.random.Generator, seeded: bool = False) -> Cut:
        """``patches`` and ``hidden``, ``[2, X, Y, Z]``; ``paired``; changes of both patches."""
        c = self.config
        names = session.sequences
        chosen = draw.choice(len(names), 2, replace=False) if len(names) > 1 else (0, 0)
        origin = crop_origin(session, c.patch_voxels, draw).tolist()
        patches = [torch.from_numpy(session.patch(names[int(i)], origin, c.patch_voxels)) for i in chosen]
        moves = draw_spatial(c.spatial, draw)
        hidden = [random_mask(c.patch_voxels, c.mask_unit_voxels, c.mask_ratio, draw) for _ in patches]
        paired = torch.tensor(len(names) > 1)
        tensors = {"patches": torch.stack(patches), "hidden": torch.stack(hidden), "paired": paired}
        return Cut(tensors, {"target": moves})

    def change(self, cut: Cut) -> Views:
        """``target`` and ``hidden``, ``[2, X, Y, Z]``: two scans, one place; ``paired``: whether they are two."""
        target = apply_spatial(cut.tensors["patches"], cut.drawn["target"]).contiguous()
        return {"target": target, "hidden": cut.tensors["hidden"], "paired": cut.tensors["paired"]}

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Weighted sum of the five terms. In eval mode latents are their means, so the loss is repeatable."""
        c = self.config
        # Scan by scan: the first half of what is stacked are the first scans.
        target, hidden = (batch[k].transpose(0, 1).flatten(0, 1) for k in ("target", "hidden"))
        means, log_variances = self._latents(target.masked_fill(hidden, 0.0))
        latents = means
        if self.training:
            # torch's own generator: the loop seeds it at each step and process, so a resumed run draws the same noise.
            # It is drawn for a batch as a whole: several processes draw other noise than one, of the same distribution.
            latents = means + torch.randn_like(means) * (0.5 * log_variances).exp()
        subject, sequence = latents.chunk(2, dim=1)
        first, second = subject.chunk(2)
        shared = (0.5 * (first + second)).repeat(2, 1, 1, 1, 1)
        own, cross = self._decode(torch.cat([torch.cat([subject, shared]), sequence.repeat(2, 1, 1, 1, 1)], 1)).chunk(2)
        subject_mean, sequence_mean = means.chunk(2, dim=1)
        return (
            c.self_weight * functional.smooth_l1_loss(own, target, beta=c.smooth_beta)
            + c.cross_weight * functional.smooth_l1_loss(cross, target, beta=c.smooth_beta)
            + c.kl_weight * self._annealing() * divergence(means, log_variances)
            + c.subject_weight * (1 - likeness(*subject_mean.chunk(2)).mean())
            + c.sequence_weight * mean_where(likeness(*sequence_mean.chunk(2)), batch["paired"])
        )

    def _latents(self, x_NXYZ: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log-variances, ``[N, 2 L, x, y, z]``: first the subject's channels, then the sequence's."""
        features = self.encoder(x_NXYZ[:, None])
        together = torch.cat([block_mean(f, features[-1].shape) for f in features], dim=1)
        means, log_variances = at_least_float32(self.to_latents(together)).chunk(2, dim=1)
        return means, log_variances.clamp(-LOG_VARIANCE, LOG_VARIANCE)

    def _decode(self, latents: Tensor) -> Tensor:
        return at_least_float32(self.decoder(self.from_latents(latents))[:, 0])

    def _annealing(self) -> Tensor:
        return (self.updates / self.config.kl_anneal_steps).clamp_max(1.0)

    def embed(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean and maximum of the deepest features of the first scan, unmasked, ``[N, 2 C]``."""
        return pooled(self.encoder(batch["target"][:, :1])[-1]).float()

    def after_update(self, step: int) -> None:
        """The annealing advances."""
        self.updates.fill_(step)


def block_mean(x_NCXYZ: Tensor, shape: torch.Size) -> Tensor:
    """``x`` on the coarser grid of ``shape`` (its last three numbers): the mean over each block of voxels.

    By a reshape: the gradient of torch's average pooling is not repeatable on a GPU.
    """
    parts = [m for n, coarse in zip(x_NCXYZ.shape[2:], shape[2:], strict=True) for m in (coarse, n // coarse)]
    return x_NCXYZ.reshape(*x_NCXYZ.shape[:2], *parts).mean(dim=(3, 5, 7))


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence of normals from the standard one, mean over elements (Kingma and Welling 2014)."""
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).mean()


def likeness(a_NCXYZ: Tensor, b_NCXYZ: Tensor) -> Tensor:
    """Cosine over channels, mean over voxels, ``[N]``."""
    return functional.cosine_similarity(a_NCXYZ, b_NCXYZ, dim=1).mean(dim=(1, 2, 3))


def mean_where(x_N: Tensor, there_N: Tensor) -> Tensor:
    """Mean of the elements that are there, in all processes; 0 when there are none."""
    there = there_N.to(x_N.dtype)
    return (x_N * there).sum() / there.sum().clamp_min(1) * mean_weight(there.sum())
