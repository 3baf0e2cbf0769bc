"""No network: the pixels themselves as tokens, the floor under every encoder of slices."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from cairn.config.networks import PixelsConfig
from cairn.errors import CairnError
from cairn.nets.slice_encoder import SliceEncoder


class PixelsEncoder(SliceEncoder):
    """A patch's token is its pixels, row by row; the class token is the image averaged to the size of one patch.

    Args:
        config: side of a patch.
    """

    config: PixelsConfig

    def tokens(self, x_N1HW: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``[N, D]`` and ``[N, h, w, D]``, with ``D = patch_size^2``."""
        self.check_size(x_N1HW)
        if hidden is not None:
            raise CairnError("The pixels have no mask token.", "Pretrain a network of kind dinov2.", code="config")
        side = self.config.patch_size
        patches = functional.pixel_unshuffle(x_N1HW, side)  # channels: the patch's rows, then columns
        whole = functional.adaptive_avg_pool2d(x_N1HW, side)
        return whole.flatten(1), patches.movedim(1, -1)
