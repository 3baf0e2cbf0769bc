"""A plain vision transformer for volumes of any size (Dosovitskiy et al. 2021; Primus: Wald et al. 2025, 2503.01835).

MONAI's transformer block has no rotary embedding, no gate, no layer scale, and a norm that nothing uses; hence the
block here, on torch's attention.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from cairn.config.networks import VitConfig
from cairn.nets.encoder import Encoder

BASE = 10000.0  # longest wave length of sines, cosines and rotations, in units of 2 pi tokens
START = 0.02  # standard deviation of the linear layers' start


def frequencies(count: int, device: torch.device) -> Tensor:
    """``count`` angular frequencies a token, from 1 falling towards 1 / `BASE`."""
    return BASE ** (-torch.arange(count, device=device, dtype=torch.float32) / count)


def angles(grid: Sequence[int], count: int, device: torch.device) -> Tensor:
    """Angle of every token along each axis at ``count`` frequencies, ``[T, 3 count]``; 0 at the volume's centre.

    Counted from the centre, a place keeps its angles in a larger box around the same brain.
    """
    axes = [torch.arange(n, device=device, dtype=torch.float32) - (n - 1) / 2 for n in grid]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)
    return (places[:, :, None] * frequencies(count, device)).flatten(1)


def turned(x_NHTD: Tensor, angle_TD: Tensor) -> Tensor:
    """Rotary embedding: pairs of channels turned by ``angle_TD`` (half as many as channels)."""
    a, b = x_NHTD.chunk(2, dim=-1)
    cos, sin = angle_TD.cos(), angle_TD.sin()
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1).to(x_NHTD.dtype)


def interpolated(x: Tensor, axis: int, count: int) -> Tensor:
    """Linear interpolation along one axis, by a matrix: the gradient of torch's own is not repeatable on a GPU."""
    unit = torch.eye(x.shape[axis], dtype=x.dtype, device=x.device)
    weights = functional.interpolate(unit[None], size=count, mode="linear", align_corners=False)[0]
    return torch.tensordot(x, weights, dims=([axis], [0])).movedim(-1, axis)


class Attention(nn.Module):  # type: ignore[misc]
    """Self-attention over all tokens.

    Args:
        config: width, heads.
    """

    def __init__(self, config: VitConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)

    def forward(self, x_NTC: Tensor, angle_TD: Tensor | None) -> Tensor:
        """``[N, T, C]``."""
        n, t, c = x_NTC.shape
        q, k, v = self.qkv(x_NTC).view(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        if angle_TD is not None:
            q, k = turned(q, angle_TD), turned(k, angle_TD)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).reshape(n, t, c))


class Gated(nn.Module):  # type: ignore[misc]
    """SwiGLU feed-forward layer (Shazeer 2020).

    Args:
        width: of a token.
        inner: of the gated layer.
    """

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate, self.value, self.out = nn.Linear(width, inner), nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x_NTC: Tensor) -> Tensor:
        """``[N, T, C]``."""
        return self.out(functional.silu(self.gate(x_NTC)) * self.value(x_NTC))


class Block(nn.Module):  # type: ignore[misc]
    """Attention, then feed-forward; norms before, residuals around, each output scaled where the section says so.

    Args:
        config: the encoder's section.
    """

    def __init__(self, config: VitConfig) -> None:
        super().__init__()
        width, inner = config.width, round(config.mlp_ratio * config.width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(config)
        gated = config.feed_forward == "swiglu"
        plain = (nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))
        self.feed_forward = Gated(width, inner) if gated else nn.Sequential(*plain)
        scaled = config.layer_scale > 0
        self.scale1 = nn.Parameter(torch.full((width,), config.layer_scale)) if scaled else 1.0
        self.scale2 = nn.Parameter(torch.full((width,), config.layer_scale)) if scaled else 1.0

    def forward(self, x_NTC: Tensor, angle_TD: Tensor | None) -> Tensor:
        """``[N, T, C]``."""
        x_NTC = x_NTC + self.scale1 * self.attention(self.norm1(x_NTC), angle_TD)
        return x_NTC + self.scale2 * self.feed_forward(self.norm2(x_NTC))


class VitEncoder(Encoder):
    """Embedded patches, blocks, a last norm: one stage of features.

    Args:
        config: the encoder's section.
    """

    config: VitConfig

    def __init__(self, config: VitConfig) -> None:
        super().__init__(config)
        self.embed = nn.Conv3d(1, config.width, kernel_size=config.patch, stride=config.patch)
        if config.position == "learned":
            self.position = nn.Parameter(torch.empty(1, config.width, *config.position_grid))
            nn.init.trunc_normal_(self.position, std=START)
        if config.registers:
            self.registers = nn.Parameter(torch.empty(1, config.registers, config.width))
            nn.init.trunc_normal_(self.registers, std=START)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width)
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=START)
                nn.init.zeros_(module.bias)

    def features(self, x_N1XYZ: Tensor) -> list[Tensor]:
        """Of the one stage."""
        x = self.embed(x_N1XYZ)
        grid = x.shape[2:]
        tokens = (x + self._places(grid, x.device)).flatten(2).transpose(1, 2)
        angle = self._rotations(grid, x.device)
        if self.config.registers:
            tokens = torch.cat([self.registers.expand(len(tokens), -1, -1).to(tokens.dtype), tokens], dim=1)
        for block in self.blocks:
            tokens = block(tokens, angle)
        tokens = self.norm(tokens)[:, self.config.registers :]
        return [tokens.transpose(1, 2).reshape(len(x), -1, *grid)]

    def _places(self, grid: Sequence[int], device: torch.device) -> Tensor | float:
        """What is added to the tokens for their places, ``[1, C, X, Y, Z]``."""
        if self.config.position == "none":
            return 0.0
        if self.config.position == "sincos":
            angle = angles(grid, self.config.width // 6, device)
            return torch.cat([angle.sin(), angle.cos()], dim=1).T.reshape(1, -1, *grid)
        position = self.position
        for axis, count in enumerate(grid, start=2):
            if count != position.shape[axis]:
                position = interpolated(position, axis, count)
        return position

    def _rotations(self, grid: Sequence[int], device: torch.device) -> Tensor | None:
        """Angles of the rotary embedding, ``[T, D / 2]``; registers are not turned."""
        if not self.config.rotary:
            return None
        count = self.config.width // self.config.heads // 6
        return functional.pad(angles(grid, count, device), (0, 0, self.config.registers, 0))
