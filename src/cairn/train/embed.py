"""An embedding of a session by a frozen encoder: pooled features, the mean over the session's sequences."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from cairn.nets.blocks import pooled
from cairn.nets.models import POOLED_STAGES
from cairn.tasks.cases import Case, common_box
from cairn.train.cases import case_tensors
from cairn.train.devices import precision


class Embedder:
    """Embeds cases; a function of the encoder and the session alone, whatever else is in the data set.

    Args:
        encoder: an encoder, whose ``config`` tells its stride.
        device: where it is.
    """

    def __init__(self, encoder: nn.Module, device: torch.device) -> None:
        self.encoder, self.device = encoder.eval(), device

    def __call__(self, case: Case) -> npt.NDArray[np.float32]:
        """Mean and maximum over space of the two deepest stages, mean over sequences: ``[E]``, float32."""
        box = common_box([case.extent], self.encoder.config.stride)
        volumes, _ = case_tensors(case, box)
        with torch.no_grad(), precision(self.device):
            features = self.encoder(volumes[:, None].to(self.device))[-POOLED_STAGES:]
            found = torch.cat([pooled(f) for f in features], dim=1).float().mean(dim=0)
        return np.asarray(found.cpu().numpy(), np.float32)
