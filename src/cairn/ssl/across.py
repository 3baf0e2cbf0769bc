"""Statistics over the global batch, where several processes train one model: what a loss compares, all of them see.

Alone, each of these gives back what it was given, so that losses need not know how many processes there are.

Gradients are averaged over the P processes. So a loss is that of one process over the whole batch where the mean of
the P losses is: a mean over as many samples in each is right as it stands; what compares samples goes through
`global_rows`, whose gradient is the sum over processes of what each makes of a row; and a mean over a number of
elements that differs between processes is scaled by `mean_weight`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, distributed

_ALONE: ContextVar[bool] = ContextVar("alone", default=False)


def processes() -> int:
    """Processes that share a batch."""
    if _ALONE.get() or not distributed.is_available() or not distributed.is_initialized():
        return 1
    return int(distributed.get_world_size())


@contextmanager
def alone() -> Iterator[None]:
    """Context in which every process works on a whole batch of its own, such as a validation's."""
    token = _ALONE.set(True)
    try:
        yield
    finally:
        _ALONE.reset(token)


def global_rows(x_N: Tensor) -> Tensor:
    """Rows of all processes, in the order of their ranks: ``[P N, …]``; differentiable. Every process has as many."""
    if processes() == 1:
        return x_N
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(x_N.contiguous()))


def global_sum(x: Tensor) -> Tensor:
    """Sum over processes of a tensor that carries no gradient, such as Sinkhorn's row sums."""
    if processes() == 1:
        return x
    total = x.detach().clone()
    distributed.all_reduce(total)
    return total


def mean_weight(count: Tensor) -> Tensor | float:
    """What a mean over ``count`` elements here is multiplied with, so that the mean of that over processes is the mean
    over all of their elements.
    """
    if processes() == 1:
        return 1.0
    return count * processes() / global_sum(count).clamp_min(1)
