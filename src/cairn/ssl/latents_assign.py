"""Soft assignment to prototypes: a teacher's targets, the losses of a student that must meet them, and their spread."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from cairn.ssl.heads import full_precision


def centred(logits_NK: Tensor, centre_K: Tensor, temperature: float) -> Tensor:
    """Targets ``[N, K]`` of DINO (Caron et al. 2021): softmax of what exceeds the running centre."""
    return torch.softmax((logits_NK - centre_K) / temperature, dim=1)


def sinkhorn(logits_NK: Tensor, temperature: float, iterations: int) -> Tensor:
    """Targets ``[N, K]`` in which each sample has mass 1 and each prototype about N / K (Caron et al. 2020, SwAV).

    Sinkhorn and Knopp's alternating scaling of ``exp(logits / temperature)``, in logarithms: nothing overflows.
    """
    log = logits_NK / temperature
    samples, prototypes = log.shape
    for _ in range(iterations):
        log = log - torch.logsumexp(log, dim=0, keepdim=True) + math.log(samples / prototypes)
        log = log - torch.logsumexp(log, dim=1, keepdim=True)
    return log.exp()


def view_loss(targets_TNK: Tensor, logits_VNK: Tensor, temperature: float) -> Tensor:
    """Mean cross-entropy over all pairs of a teacher's view and another view of the student (DINO).

    Args:
        targets_TNK: the teacher's, of T views.
        logits_VNK: the student's, of V views; the first T are the teacher's.
        temperature: the student's.
    """
    log = functional.log_softmax(logits_VNK / temperature, dim=2)
    with full_precision(log):
        pairs = -torch.einsum("tnk,vnk->tv", targets_TNK, log) / targets_TNK.shape[1]
    same = torch.eye(*pairs.shape, dtype=torch.bool, device=pairs.device)
    return pairs[~same].mean()


def hidden_loss(targets_MK: Tensor, logits_MK: Tensor, hidden_NXYZ: Tensor, temperature: float) -> Tensor:
    """Cross-entropy at the hidden places (iBOT): mean over those of a crop, then over crops.

    Args:
        targets_MK: the teacher's at the places that ``hidden`` marks, in its order.
        logits_MK: the student's there.
        hidden_NXYZ: marks of N crops, at least one each.
        temperature: the student's.
    """
    loss = -(targets_MK * functional.log_softmax(logits_MK / temperature, dim=1)).sum(dim=1)
    counts = hidden_NXYZ.flatten(1).sum(dim=1)
    return (loss / counts.repeat_interleave(counts)).sum() / len(counts)


def koleo(x_NC: Tensor, tiny: float = 1e-8) -> Tensor:
    """Kozachenko-Leonenko term: minus the mean log distance to the nearest other, on the unit sphere; of one sample 0.

    Sablayrolles et al. 2019 (arXiv 1806.03198), as in DINOv2. ``tiny`` keeps the gradient finite where two are equal.
    """
    if len(x_NC) < 2:
        return x_NC.sum() * 0.0
    x = functional.normalize(x_NC, dim=1)
    with torch.no_grad(), full_precision(x):
        nearest = (x @ x.T).fill_diagonal_(-2.0).argmax(dim=1)
    return -(functional.pairwise_distance(x, x[nearest], eps=tiny) + tiny).log().mean()
