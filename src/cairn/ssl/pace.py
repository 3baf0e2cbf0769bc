"""How fast each weight learns: its share of the learning rate, and the update from which on it does."""

from __future__ import annotations

from dataclasses import dataclass

from cairn.config.prototypes import PrototypeConfig


@dataclass(frozen=True)
class Pace:
    """How fast a weight learns."""

    share: float = 1.0
    """Of the learning rate."""
    from_step: int = 0
    """First update (from 0) that changes it."""

    def rate(self, full: float, step: int) -> float:
        """Its learning rate in update number ``step`` (from 0), where that of the run is ``full``."""
        return full * self.share if step >= self.from_step else 0.0


FULL = Pace()


def full_pace(name: str) -> Pace:
    """Every weight at the run's learning rate from the start."""
    return FULL


def prototype_pace(name: str, config: PrototypeConfig) -> Pace:
    """Heads at full pace, but prototypes, DINOv2's last layer, as the section says."""
    return Pace(from_step=config.freeze_prototypes_steps) if name.endswith("_head.prototypes") else FULL


def layer_share(depth: int, layers: int, decay: float) -> float:
    """Share of the learning rate in a transformer with decay layer by layer (BEiT: Bao et al. 2021; DINOv2).

    Args:
        depth: 0 of what embeds an image, n of the n-th block, ``layers`` + 1 of what comes after the blocks.
        layers: blocks.
        decay: share from a layer to the one before it.
    """
    return float(decay ** (layers + 1 - depth))
