"""What an objective is: views of a session, and a loss over a batch of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np
from torch import Tensor, nn

from cairn.io.sessions import Session
from cairn.nets.encoder import Encoder

Views = dict[str, Tensor]


class Objective(nn.Module):  # type: ignore[misc]
    """Base of every self-supervised objective. `train` calls these two and knows no more.

    Whatever an objective keeps beside weights (a queue, a teacher) belongs into registered buffers or modules: these
    are in the training state, so that a resumed run stays equal.
    """

    encoder: Encoder

    @abstractmethod
    def views(self, session: Session, draw: np.random.Generator) -> Views:
        """One sample: tensors by name, of the same shapes for every session. Runs on the CPU, maybe in a thread."""

    @abstractmethod
    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Loss of a batch of views, stacked along a new first axis."""
