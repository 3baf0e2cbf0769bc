"""What every encoder of slices is: one image in, a class token and one token a patch out."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from cairn.config.networks import Dinov2Config, PixelsConfig
from cairn.nets.encoder import Encoder

BATCH = 16  # slices at once through the encoder, where a whole volume is asked for


class SliceEncoder(Encoder):
    """Base of every encoder of slices; `registry.build_slice_encoder` makes them.

    As an `Encoder` it has one stage, the patches' tokens as a map, ``[N, D, h, w]``.

    Args:
        config: the network's section; ``patch_size`` and ``hidden_size`` say what comes out.
    """

    config: Dinov2Config | PixelsConfig

    @abstractmethod
    def tokens(self, x_N1HW: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Class tokens ``[N, D]`` and patch tokens ``[N, h, w, D]``, with ``h = H / patch_size``.

        Args:
            x_N1HW: images as `cairn.slices.contract.network_input` makes them.
            hidden: bool ``[N, h, w]``; patches that the encoder must not see, a mask token stands in their place.

        Raises:
            CairnError: when a side does not divide by the patch, or the encoder has no mask token and some are hidden.
        """

    def features(self, x_N1HW: Tensor) -> list[Tensor]:
        """The patches' tokens as a map."""
        return [self.tokens(x_N1HW)[1].movedim(-1, 1)]

    def tokens_of_volume(self, volume_SHW: Tensor) -> tuple[Tensor, Tensor]:
        """Class tokens ``[S, D]`` and patch tokens ``[S, h, w, D]`` of every slice, some slices at a time."""
        made = [self.tokens(part) for part in volume_SHW[:, None].split(BATCH)]
        classes, patches = zip(*made, strict=True)
        return torch.cat(classes), torch.cat(patches)
