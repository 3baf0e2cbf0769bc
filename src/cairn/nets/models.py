"""A task's model: shared encoder, late fusion, head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cairn.config.networks import NetworkConfig
from cairn.nets.blocks import pooled
from cairn.nets.decoders import SkipDecoder
from cairn.nets.encoder import seeded
from cairn.nets.fusion import Fusion
from cairn.nets.registry import build_encoder

POOLED_STAGES = 2  # the two deepest, where there are two: a small lesion is lost in the deepest alone


class TaskModel(nn.Module):  # type: ignore[misc]
    """Volumes of a session's sequences to logits of the session (``dense=False``) or of each voxel (``dense=True``).

    Args:
        config: the encoder's section.
        dense: a segmentation, or an answer a session.
        outputs: logits; 1 for a probability or a number, one more than classes where several exclude each other.
    """

    def __init__(self, config: NetworkConfig, dense: bool, outputs: int = 1) -> None:
        super().__init__()
        self.dense, self.outputs, self.frozen = dense, outputs, False
        self.encoder = build_encoder(config)
        used = config.channels if dense else config.channels[-POOLED_STAGES:]
        self.fusions = nn.ModuleList(Fusion(channels) for channels in used)
        self.head = SkipDecoder(config, outputs) if dense else nn.Linear(2 * sum(used), outputs)

    def forward(self, x_BSXYZ: Tensor, sequences_BS: Tensor) -> Tensor:
        """Logits: ``[B]``, or ``[B, X, Y, Z]`` for a dense model, float32; with several outputs ``[B, C, …]``.

        Args:
            x_BSXYZ: volumes; what lies where a session has no sequence is not read.
            sequences_BS: contrast of each volume (`fusion.sequence_id`), -1 for none; one a row at least.
        """
        features = self.encoder(x_BSXYZ[sequences_BS >= 0][:, None])[-len(self.fusions) :]
        fused = [fuse(f, sequences_BS) for fuse, f in zip(self.fusions, features, strict=True)]
        out = self.head(fused) if self.dense else self.head(torch.cat([pooled(f) for f in fused], dim=1))
        return (out[:, 0] if self.outputs == 1 else out).float()

    def freeze_encoder(self) -> None:
        """From now on the encoder stays as it is: without gradient, and in evaluation mode whatever the rest is in."""
        self.encoder.requires_grad_(False)
        self.frozen = True

    def train(self, mode: bool = True) -> TaskModel:
        """Training or evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def set_prior(self, *logits: float) -> None:
        """Let the untrained head answer ``logits``: a rare class need not be learned from one half downwards."""
        head = self.head.head if self.dense else self.head
        with torch.no_grad():
            head.bias.copy_(torch.tensor(logits))


def build_model(config: NetworkConfig, dense: bool, seed: int, outputs: int = 1) -> TaskModel:
    """A model with the random start that ``seed`` gives."""
    with seeded(seed):
        return TaskModel(config, dense, outputs)
