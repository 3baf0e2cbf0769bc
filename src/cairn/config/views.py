"""What the sections of all objectives share: a view's size, and whether a network can take it."""

from __future__ import annotations

from cairn.config.base import Section
from cairn.config.networks import NetworkConfig
from cairn.errors import CairnError


class ViewConfig(Section):
    """Base of every objective's section."""

    kind: str
    """The objective."""
    patch_voxels: tuple[int, int, int] = (48, 48, 48)
    """Size of a view; a multiple of the network's stride along each axis."""

    def check(self, network: NetworkConfig) -> None:
        """Refuse a network that this objective cannot run on. The plan asks, before any job starts.

        Raises:
            CairnError: with code ``config``, naming what does not fit.
        """
        multiple_of(network.stride, "stride of the network", self.patch_voxels, self.kind)


def multiple_of(unit: int, name: str, size: tuple[int, int, int], kind: str, what: str = "patch_voxels") -> None:
    """Refuse a size that does not divide by ``unit``.

    Raises:
        CairnError: with code ``config``.
    """
    if any(n % unit for n in size):
        reason = f"objective {kind}: {what} {size} does not divide by the {name}, {unit}."
        raise CairnError(reason, f"Take multiples of {unit}.", code="config")
