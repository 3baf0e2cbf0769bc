"""Late fusion: each sequence is encoded alone, and features are joined by attention over the sequences that are there.

So any set of sequences serves, in any order. After Llambias et al. 2025 (FOMO25's winner: learnable-softmax fusion).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

VOCABULARY = ("unknown", "T1w", "T2w", "FLAIR", "DWI", "ADC", "SWI", "T2star", "T1c", "PD")


def sequence_id(name: str) -> int:
    """Number of a sequence's contrast (a repeat such as ``T1w_2`` counts as ``T1w``); 0 where it is not known."""
    base = name.split("_")[0]
    return VOCABULARY.index(base) if base in VOCABULARY else 0


class Fusion(nn.Module):  # type: ignore[misc]
    """Joins the features of a session's sequences at one stage.

    A scale and shift for each contrast (zero at the start, so a contrast never met in training passes unchanged)
    tells the shared features apart; a voxelwise score, softmaxed over the sequences that are there, weighs them.
    At the start all scores are equal: the mean.

    Args:
        channels: channels of the stage.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.modulation = nn.Embedding(len(VOCABULARY), 2 * channels)
        self.score = nn.Conv3d(channels, 1, kernel_size=1)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)

    def forward(self, x_NCXYZ: Tensor, sequences_BS: Tensor) -> Tensor:
        """Fused features ``[B, C, X, Y, Z]``.

        Args:
            x_NCXYZ: features of the N volumes that are there, row by row of ``sequences_BS``.
            sequences_BS: contrast of each volume, -1 where a session has none in that place.
        """
        there_BS = sequences_BS >= 0
        scale, shift = self.modulation(sequences_BS[there_BS])[:, :, None, None, None].chunk(2, dim=1)
        x_NCXYZ = x_NCXYZ * (1 + scale) + shift
        score = self.score(x_NCXYZ)
        dense_x = _dense(x_NCXYZ, there_BS, 0.0)
        weight = torch.softmax(_dense(score, there_BS, float("-inf")), dim=1)
        return (dense_x * weight).sum(dim=1)


def _dense(x_N: Tensor, there_BS: Tensor, fill: float) -> Tensor:
    """Volumes back in their places, ``[B, S, ...]``."""
    out = torch.full((*there_BS.shape, *x_N.shape[1:]), fill, dtype=x_N.dtype, device=x_N.device)
    out[there_BS] = x_N
    return out
