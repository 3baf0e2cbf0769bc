"""Statistics over the global batch, where several processes train one model: what a loss compares, all of them see.

Alone, each of these gives back what it was given, so that losses need not know how many processes there are.
"""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def processes() -> int:
    """Processes that train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


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
