"""SGD over all learning rates of a sweep at once: momentum, cosine decay, no early stopping (Curia's trainer.py)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from cairn.bench.heads import Forward, Params
from cairn.config.bench import BenchKind, SweepConfig
from cairn.ssl.draws import generator

BATCH_OF_RATE = 256  # a base rate is that of a batch of this size
Loss = Callable[[Tensor, Tensor], Tensor]


def loss_of(kind: BenchKind) -> Loss:
    """Mean loss of each member of a sweep, ``[R]``, from logits ``[R, B, K]`` and targets ``[B]`` or ``[B, K]``."""

    def cross_entropy(logits_RBK: Tensor, target_B: Tensor) -> Tensor:
        chosen = torch.log_softmax(logits_RBK, dim=-1).gather(
            -1, target_B.long().expand(len(logits_RBK), -1)[..., None]
        )
        return -chosen[..., 0].mean(dim=1)

    def squared(logits_RB1: Tensor, target_B: Tensor) -> Tensor:
        return ((logits_RB1[..., 0] - target_B) ** 2).mean(dim=1)

    def binary(logits_RBK: Tensor, target_BK: Tensor) -> Tensor:
        wanted = target_BK.expand_as(logits_RBK)
        return functional.binary_cross_entropy_with_logits(logits_RBK, wanted, reduction="none").mean(dim=(1, 2))

    return {"regression": squared, "findings": binary}.get(kind, cross_entropy)


def descend(
    x: Tensor, target: Tensor, start: Params, forward: Forward, loss: Loss, rates: Sequence[float],
    config: SweepConfig, seed: int,
) -> Params:  # fmt: skip
    """Last weights of every rate, with a leading axis R.

    Members do not touch each other: the sum of their losses has the gradient of each. A member that diverges ends in
    NaN, and is not chosen.

    Args:
        x: ``[N, D]`` or ``[N, L, D]``.
        target: ``[N]`` or ``[N, K]``.
        start: parameters with R = 1, the same for every rate.
        forward: the head.
        loss: `loss_of`.
        rates: base learning rates.
        config: epochs, batches, momentum.
        seed: decides the order.
    """
    params = {n: p.expand(len(rates), *p.shape[1:]).clone().requires_grad_() for n, p in start.items()}
    speed = {n: torch.zeros_like(p) for n, p in params.items()}
    size = min(config.batch_size, len(x))
    base = torch.tensor(rates) * size / BATCH_OF_RATE
    per_epoch = -(-len(x) // size)
    for step in range(config.epochs * per_epoch):
        epoch, place = divmod(step, per_epoch)
        if size == len(x):
            inputs, wanted = x, target
        else:
            order = torch.from_numpy(generator(seed, "head order", epoch).permutation(len(x)))
            rows = order[place * size : (place + 1) * size]
            inputs, wanted = x[rows], target[rows]
        slopes = torch.autograd.grad(loss(forward(params, inputs), wanted).sum(), list(params.values()))
        now = base * 0.5 * (1 + math.cos(math.pi * step / (config.epochs * per_epoch)))
        with torch.no_grad():
            for (name, value), slope in zip(params.items(), slopes, strict=True):
                speed[name].mul_(config.momentum).add_(slope)
                value.sub_(now.view(-1, *[1] * (value.ndim - 1)) * speed[name])
    return {n: p.detach() for n, p in params.items()}
