"""Heads on frozen features, as released with Curia: linear, and self- then cross-attention with one query.

Every parameter has a leading axis R, one member a learning rate: a sweep is one computation.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Params = dict[str, Tensor]
Forward = Callable[[Params, Tensor], Tensor]


def linear_params(width: int, outputs: int, std: float, draw: np.random.Generator) -> Params:
    """Weights N(0, ``std``), biases 0; R = 1."""
    return {"weight": _normal((1, outputs, width), std, draw), "bias": torch.zeros(1, outputs)}


def linear(params: Params, x_BD: Tensor) -> Tensor:
    """Logits ``[R, B, K]``."""
    x = x_BD if x_BD.ndim == 3 else x_BD[None]
    return x @ params["weight"].mT + params["bias"][:, None]


def attention_params(width: int, outputs: int, std: float, draw: np.random.Generator) -> Params:
    """Two attention blocks of one head and the linear layer; R = 1. Projections N(0, 1 / D), the query N(0, 1)."""
    params = linear_params(width, outputs, std, draw)
    for block in ("self", "cross"):
        for name in ("q", "k", "v", "out"):
            params[f"{block}.{name}"] = _normal((1, width, width), width**-0.5, draw)
            params[f"{block}.{name}.bias"] = torch.zeros(1, width)
        params[f"{block}.norm"], params[f"{block}.norm.bias"] = torch.ones(1, width), torch.zeros(1, width)
    params["query"] = _normal((1, width), 1.0, draw)
    return params


def attention(params: Params, x_BLD: Tensor) -> Tensor:
    """Logits ``[R, B, K]`` of bags of tokens: self-attention, then one learned query; each block with norm and skip."""
    rates = len(params["weight"])
    x = x_BLD.expand(rates, *x_BLD.shape)
    normed = _norm(params, "self", x)
    x = x + _attend(params, "self", normed, normed)
    query = params["query"][:, None, None].expand(rates, len(x_BLD), 1, -1)
    pooled = query + _attend(params, "cross", query, _norm(params, "cross", x))
    return linear(params, pooled[:, :, 0])


def _attend(params: Params, block: str, queries_RBMD: Tensor, keys_RBLD: Tensor) -> Tensor:
    """One-head attention, ``[R, B, M, D]``."""

    def projected(name: str, x: Tensor) -> Tensor:
        weight, bias = params[f"{block}.{name}"], params[f"{block}.{name}.bias"]
        return x @ weight.mT[:, None] + bias[:, None, None]

    q, k, v = projected("q", queries_RBMD), projected("k", keys_RBLD), projected("v", keys_RBLD)
    weights = torch.softmax(q @ k.mT / math.sqrt(q.shape[-1]), dim=-1)
    return projected("out", weights @ v)


def _norm(params: Params, block: str, x_RBLD: Tensor) -> Tensor:
    normed = functional.layer_norm(x_RBLD, x_RBLD.shape[-1:])
    return normed * params[f"{block}.norm"][:, None, None] + params[f"{block}.norm.bias"][:, None, None]


def _normal(shape: tuple[int, ...], std: float, draw: np.random.Generator) -> Tensor:
    return torch.from_numpy(draw.normal(0.0, 1.0, shape).astype(np.float32) * np.float32(std))


MAKERS = {"linear": linear_params, "mean": linear_params, "attention": attention_params}
FORWARD: dict[str, Forward] = {"linear": linear, "mean": linear, "attention": attention}
