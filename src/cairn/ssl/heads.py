"""What objectives put on top of the encoder: a projector, and the losses that tell the right partner from the others.

No batch norm: over the few crops of a 3D batch its statistics are noise, and they tell each sample of the others,
which contrastive losses can exploit. Layer norm works on one sample alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from cairn.nets.blocks import pooled
from cairn.nets.encoder import Encoder
from cairn.ssl.across import global_rows


def projector(width_in: int, widths: Sequence[int], activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Linear layers of ``widths`` with layer norm and ``activation`` between them; the last is linear alone."""
    layers: list[nn.Module] = []
    for before, after in pairwise([width_in, *widths]):
        layers += [nn.Linear(before, after), nn.LayerNorm(after), activation()]
    return nn.Sequential(*layers[:-2])


def projected(encoder: Encoder, head: nn.Module, x_NXYZ: Tensor) -> Tensor:
    """What ``head`` makes of the deepest features of each crop, pooled over space: ``[N, D]``, float32 at least.

    Mean and maximum are pooled: after instance norm the mean alone says little.
    """
    return at_least_float32(head(pooled(encoder(x_NXYZ[:, None])[-1])))


def at_least_float32(x: Tensor) -> Tensor:
    """``x``, widened where it has fewer bits: losses are not taken in bfloat16."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


@contextmanager
def full_precision(x: Tensor) -> Iterator[None]:
    """Context in which nothing on the device of ``x`` is narrowed to bfloat16."""
    with torch.autocast(x.device.type, enabled=False):
        yield


def nt_xent(a_ND: Tensor, b_ND: Tensor, temperature: float) -> Tensor:
    """Cross entropy of finding each row's partner among all other rows of both (SimCLR; Chen et al. 2020, eq. 1).

    Rows of all processes, where several share a batch.
    """
    with full_precision(a_ND):
        a, b = global_rows(a_ND), global_rows(b_ND)
        z = functional.normalize(torch.cat([a, b]), dim=1)
        logits = (z @ z.T / temperature).fill_diagonal_(-torch.inf)
        partner = torch.arange(len(z), device=z.device).roll(len(a))
        return functional.cross_entropy(logits, partner)


def info_nce(query_ND: Tensor, key_ND: Tensor, negatives_KD: Tensor, temperature: float) -> Tensor:
    """Cross entropy of telling each query's key from the negatives (MoCo; He et al. 2020, eq. 1).

    Args:
        query_ND: queries; scaled to length 1 here.
        key_ND: keys of length 1.
        negatives_KD: other keys of length 1, maybe none.
        temperature: divides the similarities.
    """
    with full_precision(query_ND):
        query = functional.normalize(query_ND, dim=1)
        right = (query * key_ND).sum(dim=1, keepdim=True)
        logits = torch.cat([right, query @ negatives_KD.T], dim=1) / temperature
        return functional.cross_entropy(logits, torch.zeros(len(query), dtype=torch.long, device=query.device))
