"""Collapse watch: whether an objective still tells sessions apart, from the embeddings that it makes of them.

Two numbers, as an objective can collapse in two ways. To a point: all embeddings become alike, and their spread
(SimSiam; Chen and He 2021, arXiv 2011.10566) goes to 0; it is taken without centring, since a spread around a large
common offset that matters to nobody is just what this collapse looks like. To a line: embeddings differ, but along
few directions, and their effective rank (RankMe; Garrido et al. 2023, arXiv 2210.02885) goes to 1; it is taken after
centring, since the common offset would count as a direction, and by its size hide the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from cairn.config.training import PretrainConfig
from cairn.errors import CairnError

FEWEST_FOR_RANK = 8
"""Sessions below which the rank says nothing: n centred embeddings span n - 1 directions at most, two only one."""


def feature_std(z_ND: Tensor) -> float:
    """Standard deviation of the embeddings scaled to length 1, times sqrt(D), averaged over dimensions.

    1 where they spread evenly over the sphere, 0 where all are alike.
    """
    unit = functional.normalize(z_ND.detach().cpu().double(), dim=1)
    return float(unit.std(dim=0, correction=0).mean() * unit.shape[1] ** 0.5)


def effective_rank(z_ND: Tensor) -> float:
    """Exponential of the entropy of the centred embeddings' singular values, scaled to sum 1; 0 if all are alike."""
    z = z_ND.detach().cpu().double()
    values = torch.linalg.svdvals(z - z.mean(dim=0))
    total = float(values.sum())
    if total == 0:
        return 0.0
    shares = values / total
    return float(torch.exp(-torch.special.xlogy(shares, shares).sum()))


def watch(z_ND: Tensor) -> dict[str, float]:
    """Both numbers, for the history."""
    return {"feature_std": feature_std(z_ND), "effective_rank": effective_rank(z_ND)}


def refuse_collapse(record: Mapping[str, Any], config: PretrainConfig, objective: str, sessions: int) -> None:
    """Stop a run whose validation shows a collapse of either kind. In the warm-up nothing is learned yet, nor judged.

    Either number is enough: a point has no rank worth the name (what is left is rounding, of any rank), and a line
    may be as long as it likes.

    Args:
        record: the validation's line of the history.
        config: thresholds and warm-up.
        objective: what is trained, for the message.
        sessions: number of embeddings; the rank of few is not judged.

    Raises:
        CairnError: with code ``collapsed``.
    """
    if "feature_std" not in record or record["step"] <= config.warmup_steps:
        return
    std, rank = record["feature_std"], record["effective_rank"]
    if std >= config.min_feature_std and (rank >= config.min_effective_rank or sessions < FEWEST_FOR_RANK):
        return
    raise CairnError(
        f"{objective} has collapsed at step {record['step']}: over {sessions} sessions its embeddings have feature_std "
        f"{std:.3g} (at least {config.min_feature_std:g}) and effective_rank {rank:.3g} (at least "
        f"{config.min_effective_rank:g}).",
        "Lower pretrain.learning_rate, raise pretrain.batch_size or the weights of the objective that keep sessions "
        "apart (negatives, temperature, variance, covariance, momentum). If the run is right, lower "
        "pretrain.min_feature_std or pretrain.min_effective_rank: it goes on from its last state.", code="collapsed",
    )  # fmt: skip
