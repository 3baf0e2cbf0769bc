"""Any encoder of volumes as one of slices: its features along a stack of slices, in the shape of a slice encoder's.

So the networks of the methods table go through the same heads as vision transformers of slices.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from cairn.config.slices import Plane
from cairn.nets.encoder import Encoder
from cairn.slices.orient import TURNS


class VolumeTokens(nn.Module):  # type: ignore[misc]
    """Tokens of slices out of the deepest-but-one features of the whole volume (the deepest are too coarse a map).

    The volume is turned back to RAS order, as these encoders are trained. A patch's token is the features around it,
    a slice's class token the mean of them over its slab.

    Args:
        encoder: of volumes.
        patch_size: side of a patch, in pixels.
        plane: of the stacks that will be given.
    """

    def __init__(self, encoder: Encoder, patch_size: int = 16, plane: Plane = "axial") -> None:
        super().__init__()
        self.encoder, self.patch_size, self.turn = encoder, patch_size, TURNS[plane]
        self.stage = -2 if len(encoder.config.channels) > 1 else -1

    @property
    def hidden_size(self) -> int:
        """Channels of a token."""
        return int(self.encoder.config.channels[self.stage])

    def tokens_of_volume(self, volume_SHW: Tensor) -> tuple[Tensor, Tensor]:
        """Class tokens ``[S, D]`` and patch tokens ``[S, h, w, D]``, with ``h = ceil(H / patch_size)``.

        Args:
            volume_SHW: a stack as `cairn.slices.contract.network_input` makes it.
        """
        size, stride = volume_SHW.shape, self.encoder.config.stride
        # Padded at the ends of the stack's axes by its border, so that a place keeps its number.
        pad = [n for length in reversed(size) for n in (0, -length % stride)]
        padded = functional.pad(volume_SHW[None, None], pad, mode="replicate")[0, 0]
        volume = padded.flip(self.turn.flipped).permute(self.turn.back)
        deep_DXYZ = self.encoder(volume[None, None])[self.stage][0].float()
        deep = deep_DXYZ.permute(0, *(1 + a for a in self.turn.axes)).flip([1 + a for a in self.turn.flipped])
        step = self.encoder.config.strides[self.stage]
        counts = (size[0], *(-(-n // self.patch_size) for n in size[1:]))
        for axis, (count, width) in enumerate(zip(counts, (1, self.patch_size, self.patch_size), strict=True), start=1):
            deep = _resampled(deep, axis, step, count, width)
        patches = deep.movedim(0, -1)
        return patches.mean(dim=(1, 2)), patches


def _resampled(x: Tensor, axis: int, step: float, count: int, width: float) -> Tensor:
    """Samples of ``step`` voxels along ``axis`` as ``count`` of ``width``: linear, and averaged where these are wider.

    Both count from the same border. A triangle as wide as the wider of the two weighs the samples.
    """
    here = (torch.arange(x.shape[axis], device=x.device) + 0.5) * step
    there = (torch.arange(count, device=x.device) + 0.5) * width
    there = there.clamp(here[0], here[-1])  # at the border its sample, nothing beyond
    weights = (1 - (there[:, None] - here).abs() / max(step, width)).clamp(min=0)
    weights = (weights / weights.sum(dim=1, keepdim=True)).to(x.dtype)
    return torch.tensordot(x, weights, dims=([axis], [1])).movedim(-1, axis)
