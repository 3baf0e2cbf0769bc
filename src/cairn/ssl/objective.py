"""What an objective is: views of a session, and a loss over a batch of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np
from torch import Tensor, nn

from cairn.io.sessions import Session
from cairn.nets.encoder import Encoder
from cairn.ssl.pace import FULL, Pace

Views = dict[str, Tensor]


class Objective(nn.Module):  # type: ignore[misc]
    """Base of every self-supervised objective. `train` calls these four and knows no more.

    Whatever an objective keeps beside weights (a queue, a teacher) belongs into registered buffers or modules: these
    are in the training state, so that a resumed run stays equal. What the optimiser must not touch has
    ``requires_grad`` off. Whatever follows a schedule counts steps, never shares of the run, so that a longer run
    begins no differently.
    """

    encoder: Encoder
    saved = "encoder"
    """Name of the encoder that fine-tuning starts from: the one trained, or a teacher's where the method says so."""

    @abstractmethod
    def views(self, session: Session, draw: np.random.Generator) -> Views:
        """One sample: tensors by name, of the same shapes for every session. Runs on the CPU, maybe in a thread."""

    def views_at(self, session: Session, draw: np.random.Generator, step: int) -> Views:
        """One sample of update number ``step`` (from 0), where views change in the course of a training; `views` else.

        A validation takes `views`, so that its numbers can be compared: they are those of the course's end.
        """
        return self.views(session, draw)

    @abstractmethod
    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Loss of a batch of views, stacked along a new first axis."""

    @abstractmethod
    def embed(self, batch: Mapping[str, Tensor]) -> Tensor:
        """What the objective makes of each sample, ``[N, D]`` float32: if these become alike, it has collapsed."""

    def pace(self, name: str) -> Pace:
        """How fast the parameter of that name learns; all at the run's rate, where the method says nothing."""
        return FULL

    def after_update(self, step: int) -> None:
        """Called without gradient after update number ``step`` (from 1): a teacher follows, a schedule advances."""
