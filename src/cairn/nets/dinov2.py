"""DINOv2's vision transformer for slices: the model class that Curia is released as, `transformers`' `Dinov2Model`.

`transformers` takes seconds to import; it is imported once such a network is built.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from cairn.config.networks import Dinov2Config
from cairn.nets.slice_encoder import SliceEncoder

LAYER_NORM_EPS = 1e-6


@contextmanager
def without_torchvision() -> Iterator[None]:
    """Context in which `transformers` finds no torchvision: no environment of ours has it, and one that was built for
    another torch would break the import. `transformers` keeps in mind that there is none; other packages do not.
    """
    if "torchvision" in sys.modules:
        yield
        return
    sys.modules["torchvision"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["torchvision"]


def transformers_config(config: Dinov2Config) -> dict[str, Any]:
    """The section in the words of `transformers`; what decides the architecture stands in a released config.json too.

    Whatever is left out has that library's default, which is the published value (GELU, no dropout).
    """
    return {
        "image_size": config.image_size, "patch_size": config.patch_size, "num_channels": 1,
        "hidden_size": config.hidden_size, "num_hidden_layers": config.layers, "num_attention_heads": config.heads,
        "mlp_ratio": config.mlp_ratio, "use_swiglu_ffn": config.swiglu, "layerscale_value": config.layerscale,
        "drop_path_rate": config.drop_path, "layer_norm_eps": LAYER_NORM_EPS, "qkv_bias": True, "hidden_act": "gelu",
        "use_mask_token": True,
    }  # fmt: skip


def positions(embeddings: Any, tokens_NTD: Tensor, height: int, width: int) -> Tensor:
    """Learned positions of the class token and of the patches of an image of this size, ``[1, T, D]``.

    What `Dinov2Embeddings.interpolate_pos_encoding` gives, as matrix products: the gradient of torch's bicubic
    interpolation is not repeatable on a GPU, and local crops need it at every step.
    """
    learned = embeddings.position_embeddings
    side, patch = math.isqrt(learned.shape[1] - 1), embeddings.patch_size
    size = (height // patch, width // patch)
    if size == (side, side):
        return learned
    grid = learned[:, 1:].unflatten(1, (side, side)).float()
    rows, columns = (_bicubic(side, n, grid.device) for n in size)
    grid = torch.einsum("hi,nijd,wj->nhwd", rows, grid, columns)
    return torch.cat([learned[:, :1], grid.flatten(1, 2).to(learned.dtype)], dim=1)


def _bicubic(count: int, wanted: int, device: torch.device) -> Tensor:
    """Weights ``[wanted, count]`` of bicubic interpolation along one axis."""
    unit = torch.eye(count, device=device)[None, None]
    return functional.interpolate(unit, (wanted, count), mode="bicubic", align_corners=False)[0, 0]


class Dinov2Encoder(SliceEncoder):
    """Embedded patches and a class token, learned positions (interpolated for other sizes), blocks, a last norm.

    Stochastic depth draws from torch's generator, in training mode alone.

    Args:
        config: the network's section.
    """

    config: Dinov2Config

    def __init__(self, config: Dinov2Config) -> None:
        with without_torchvision():
            from transformers.models.dinov2 import Dinov2Config as Settings
            from transformers.models.dinov2 import Dinov2Model

        super().__init__(config)
        self.dinov2: Any = Dinov2Model(Settings(**transformers_config(config)))
        self.dinov2.embeddings.interpolate_pos_encoding = MethodType(positions, self.dinov2.embeddings)

    @property
    def blocks(self) -> nn.ModuleList:
        """The transformer's blocks, for sharding and activation checkpointing."""
        return self.dinov2.encoder.layer

    def depth(self, name: str) -> int:
        """Depth of the parameter of that name: 0 of what embeds, n of the n-th block, one more of the last norm."""
        if name.startswith("dinov2.embeddings."):
            return 0
        place = name.removeprefix("dinov2.encoder.layer.")
        return self.config.layers + 1 if place == name else int(place.split(".")[0]) + 1

    def embeds_patches(self, name: str) -> bool:
        """Whether the parameter of that name makes a patch's token of its pixels."""
        return name.startswith("dinov2.embeddings.patch_embeddings.")

    def tokens(self, x_N1HW: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``[N, D]`` and ``[N, h, w, D]``, after the last norm; hidden patches enter as the mask token (iBOT)."""
        self.check_size(x_N1HW)
        h, w = (n // self.config.patch_size for n in x_N1HW.shape[2:])
        places = None if hidden is None else hidden.flatten(1)
        out = self.dinov2(pixel_values=x_N1HW, bool_masked_pos=places).last_hidden_state
        return out[:, 0], out[:, 1:].unflatten(1, (h, w))
