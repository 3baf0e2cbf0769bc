"""Samples that are cut on the CPU and augmented wherever they lie: what a GPU's loader sends, and an objective on it.

Reading and drawing is cheap, augmenting a volume costs tens of milliseconds: too much for the few cores beside a GPU.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cairn.io.sessions import Session
from cairn.ssl.heads import full_precision
from cairn.ssl.objective import Objective, Views


@dataclass(frozen=True)
class Cut:
    """What is read of a session, and what is drawn for it."""

    tensors: dict[str, Tensor]
    """Voxels as the shard has them, and marks; they move to a device. Shapes may differ from sample to sample."""
    drawn: dict[str, Any]
    """What to make of them, with all parameters fixed (`augment.Changes`, places); it stays on the host."""


@dataclass(frozen=True)
class Cuts:
    """The cuts of a batch. They move as a tensor does."""

    cuts: tuple[Cut, ...]

    def to(self, device: torch.device, non_blocking: bool = False) -> Cuts:
        """The same on ``device``."""
        return self._each(lambda x: x.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Cuts:
        """The same in pinned memory, from which a GPU copies beside its work."""
        return self._each(Tensor.pin_memory)

    def record_stream(self, stream: Any) -> None:
        """Keep the memory until the work that ``stream`` has by then is done."""
        for cut in self.cuts:
            for tensor in cut.tensors.values():
                tensor.record_stream(stream)

    def _each(self, move: Any) -> Cuts:
        return Cuts(tuple(replace(c, tensors={name: move(x) for name, x in c.tensors.items()}) for c in self.cuts))


class AugmentedObjective(Objective):
    """An objective whose views are cuts, changed: at once, or later and on another device."""

    @abstractmethod
    def cut(self, session: Session, draw: np.random.Generator, seeded: bool = False) -> Cut:
        """Read and draw one sample; nothing random is left. Runs on the CPU, maybe in a thread.

        Args:
            session: what is read.
            draw: where all that is random comes from.
            seeded: of noise, draw the seed and not the field (`augment.draw_intensity`).
        """

    @abstractmethod
    def change(self, cut: Cut) -> Views:
        """The views of a cut, on the device where its tensors lie; of the same shapes for every cut."""

    def views(self, session: Session, draw: np.random.Generator) -> Views:
        """One sample, cut and changed at once."""
        return self.change(self.cut(session, draw))


def stack(views: Sequence[Views]) -> dict[str, Tensor]:
    """Views of samples, along a new first axis."""
    return {name: torch.stack([v[name] for v in views]) for name in views[0]}


def changed(objective: AugmentedObjective, cuts: Cuts) -> dict[str, Tensor]:
    """The batch of views that ``objective`` makes of ``cuts``, on their device; without gradient, in float32."""
    where = next(iter(cuts.cuts[0].tensors.values()))
    with torch.no_grad(), full_precision(where):
        return stack([objective.change(cut) for cut in cuts.cuts])
