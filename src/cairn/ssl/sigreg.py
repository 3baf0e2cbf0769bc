"""SIGReg: embeddings of a batch towards a standard normal, judged along random directions.

LeJEPA (Balestriero and LeCun 2025, arXiv 2511.08544): a distribution is the standard normal just if each of its
projections is; each projection is judged by Epps and Pulley's statistic (1983), the squared distance of empirical and
normal characteristic function under a Gaussian weight. It is 0 for no collapsed batch, and needs no teacher.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from cairn.ssl.across import global_rows
from cairn.ssl.heads import full_precision

LIMIT = 5.0
"""Half the width of the integral (the paper's); beyond it the weight is 4e-6 and less."""


def sigreg(x_ND: Tensor, directions_MD: Tensor, points: int) -> Tensor:
    """Mean over directions of Epps and Pulley's statistic of the projections, times the size of the global batch.

    Args:
        x_ND: embeddings, float32 or wider; those of all processes count.
        directions_MD: directions, of any length above 0, the same in every process.
        points: of the trapezoidal rule from -5 to 5; the integrand is even, so only half of them are computed.
    """
    everyone = global_rows(x_ND)
    with full_precision(everyone):
        projected_NM = everyone @ functional.normalize(directions_MD, dim=1).T
        t_T, weight_T = _half_trapezoid(points, everyone)
        angle_NMT = projected_NM[:, :, None] * t_T
        normal_T = torch.exp(-0.5 * t_T**2)
        distance_MT = (angle_NMT.cos().mean(dim=0) - normal_T) ** 2 + angle_NMT.sin().mean(dim=0) ** 2
        return len(everyone) * ((distance_MT * normal_T) @ weight_T).mean()


def _half_trapezoid(points: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """The points t >= 0 of the trapezoidal rule from -5 to 5, and weights by which they stand for both halves."""
    step, odd = 2 * LIMIT / (points - 1), points % 2
    t_T = torch.linspace(0.0 if odd else step / 2, LIMIT, (points + 1) // 2, dtype=like.dtype, device=like.device)
    weight_T = torch.full_like(t_T, 2 * step)
    weight_T[-1] = step
    if odd:
        weight_T[0] = step
    return t_T, weight_T
