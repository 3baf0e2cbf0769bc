"""Soft assignment to prototypes: a teacher's targets, the losses of a student that must meet them, and their spread.

What is taken over a batch (Sinkhorn's sums, a centre, the nearest other) is taken over that of all processes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, distributed
from torch.nn import functional

from cairn.ssl.across import global_rows, global_sum, processes
from cairn.ssl.heads import full_precision


def centred(logits_NK: Tensor, centre_K: Tensor, temperature: float) -> Tensor:
    """Targets ``[N, K]`` of DINO (Caron et al. 2021): softmax of what exceeds the running centre."""
    return torch.softmax((logits_NK - centre_K) / temperature, dim=1)


def sinkhorn(logits_NK: Tensor, temperature: float, iterations: int) -> Tensor:
    """Targets ``[N, K]`` in which each sample has mass 1 and each prototype about N / K (Caron et al. 2020, SwAV).

    Sinkhorn and Knopp's alternating scaling of ``exp(logits / temperature)``, in logarithms: nothing overflows.
    """
    log = logits_NK / temperature
    samples = _everywhere(log)
    if samples == 0:
        return log
    share = math.log(samples / log.shape[1])
    for _ in range(iterations):
        # One row a process: the sum over all of them, still in logarithms.
        mass_PK = global_rows(torch.logsumexp(log, dim=0, keepdim=True))
        log = log - torch.logsumexp(mass_PK, dim=0, keepdim=True) + share
        log = log - torch.logsumexp(log, dim=1, keepdim=True)
    return log.exp()


def advance(centre_K: Tensor, logits_NK: Tensor, keep: float) -> None:
    """Move a running centre, in place, towards the mean of ``logits``; it keeps the share ``keep`` of itself.

    Without any row, as where no place is hidden, it stays.
    """
    if rows := _everywhere(logits_NK):
        mean = logits_NK.mean(dim=0) if processes() == 1 else global_sum(logits_NK.sum(dim=0)) / rows
        centre_K.lerp_(mean, 1 - keep)


def _everywhere(x_N: Tensor) -> int:
    """Rows of all processes, which may differ in how many they have."""
    return len(x_N) if processes() == 1 else int(global_sum(torch.tensor(len(x_N), device=x_N.device)))


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
        hidden_NXYZ: marks of N crops, of two or three dimensions; a crop without any counts as 0, as in DINOv2.
        temperature: the student's.
    """
    loss = -(targets_MK * functional.log_softmax(logits_MK / temperature, dim=1)).sum(dim=1)
    counts = hidden_NXYZ.flatten(1).sum(dim=1)
    return (loss / counts.repeat_interleave(counts)).sum() / len(counts)


def koleo(x_NC: Tensor, tiny: float = 1e-8) -> Tensor:
    """Kozachenko-Leonenko term: minus the mean log distance to the nearest other, on the unit sphere; of one sample 0.

    Sablayrolles et al. 2019 (arXiv 1806.03198), as in DINOv2. ``tiny`` keeps the gradient finite where two are equal.
    """
    x = functional.normalize(x_NC, dim=1)
    everyone = global_rows(x)
    if len(everyone) < 2:
        return x_NC.sum() * 0.0
    with torch.no_grad(), full_precision(x):
        own = torch.arange(len(x), device=x.device)
        first = len(x) * distributed.get_rank() if processes() > 1 else 0
        likeness = x @ everyone.T
        likeness[own, first + own] = -2.0
        nearest = likeness.argmax(dim=1)
    return -(functional.pairwise_distance(x, everyone[nearest], eps=tiny) + tiny).log().mean()
