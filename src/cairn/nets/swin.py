"""A Swin transformer on MONAI's blocks (Liu et al. 2021; Swin UNETR: Hatamizadeh et al. 2022; V2: He et al. 2023)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from cairn.config.networks import SwinConfig
from cairn.nets.blocks import residual
from cairn.nets.encoder import Encoder
from cairn.nets.lean import lean


class SwinStage(nn.Module):  # type: ignore[misc]
    """Blocks of attention within windows, every second one with the windows shifted by a half; then a halved grid.

    MONAI's own stage (`BasicLayer`) does the same, but needs a package more to swap axes.

    Args:
        channels: of the input; the output has twice as many.
        depth: blocks.
        heads: attention heads.
        config: window, inner width, convolutions.
    """

    def __init__(self, channels: int, depth: int, heads: int, config: SwinConfig) -> None:
        with lean():
            from monai.networks.nets.swin_unetr import PatchMergingV2, SwinTransformerBlock

        super().__init__()
        self.window, self.shift = (config.window,) * 3, (config.window // 2,) * 3
        self.convolve = residual(channels, channels) if config.convolutions else nn.Identity()
        self.blocks = nn.ModuleList(
            SwinTransformerBlock(
                channels, heads, self.window, self.shift if number % 2 else (0, 0, 0), config.mlp_ratio, qkv_bias=True
            )
            for number in range(depth)
        )
        self.merge = PatchMergingV2(channels)

    def forward(self, x_NCXYZ: Tensor) -> Tensor:
        """``[N, 2 C, X / 2, Y / 2, Z / 2]``."""
        with lean():
            from monai.networks.nets.swin_unetr import compute_mask, get_window_size

        x = self.convolve(x_NCXYZ).movedim(1, -1).contiguous()
        size = x.shape[1:-1]
        window, shift = get_window_size(size, self.window, self.shift)
        padded = [-(-n // w) * w for n, w in zip(size, window, strict=True)]
        mask = compute_mask(padded, window, shift, x.device) if any(shift) and len(self.blocks) > 1 else None
        for block in self.blocks:
            x = block(x, mask)
        return self.merge(x).movedim(-1, 1).contiguous()


class SwinEncoder(Encoder):
    """Embedded patches, then stages; features are normalised over channels without learned numbers, as in Swin UNETR.

    Args:
        config: width, depths, heads, window, patch.
    """

    config: SwinConfig

    def __init__(self, config: SwinConfig) -> None:
        super().__init__(config)
        self.embed = nn.Conv3d(1, config.width, kernel_size=config.patch, stride=config.patch)
        rows = zip(config.channels[:-1], config.depths, config.heads, strict=True)
        self.stages = nn.ModuleList(SwinStage(*row, config) for row in rows)

    def features(self, x_N1XYZ: Tensor) -> list[Tensor]:
        """Of the patches and of every stage."""
        found = [self.embed(x_N1XYZ)]
        for stage in self.stages:
            found.append(stage(found[-1]))
        return [functional.layer_norm(f.movedim(1, -1), f.shape[1:2]).movedim(-1, 1).contiguous() for f in found]
