"""What the sections of all objectives share: a view's size, and whether a network and a batch can take it."""

from __future__ import annotations

from abc import abstractmethod
from math import prod
from typing import ClassVar

from pydantic import Field

from cairn.config.base import Section
from cairn.config.networks import NetworkConfig, check_dims
from cairn.errors import CairnError


class ObjectiveSection(Section):
    """Base of every objective's section, whatever it looks at."""

    least_batch: ClassVar[int] = 1
    """Fewest samples that the loss can be taken of; above 1 where it compares the samples of a batch."""
    dims: ClassVar[int] = 3
    """Axes of a view: 3 of a volume, 2 of a slice."""
    whole_batch: ClassVar[bool] = False
    """Whether processes that share a batch come to the loss and the gradient of one that has it all: the loss is a mean
    over samples, or what it compares goes through `cairn.ssl.across`."""

    kind: str
    """The objective."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Largest learning rate of this objective's pretrainings; default: ``pretrain.learning_rate``."""

    def check(self, network: NetworkConfig) -> None:
        """Refuse a network that this objective cannot run on. The plan asks, before any job starts.

        Raises:
            CairnError: with code ``config``, naming what does not fit.
        """
        check_dims(network, self.dims, f"objective {self.kind}")

    def check_batch(self, batch_size: int) -> None:
        """Refuse a batch that this objective cannot learn from. The plan asks, before any job starts.

        Raises:
            CairnError: with code ``config``.
        """
        if batch_size < self.least_batch:
            reason = f"objective {self.kind} compares the samples of a batch, and pretrain.batch_size is {batch_size}."
            raise CairnError(reason, f"Set pretrain.batch_size to {self.least_batch} or more.", code="config")

    @abstractmethod
    def seen(self, patch: int) -> list[tuple[int, tuple[int, ...]]]:
        """What the encoder that learns sees of a sample: how many views, and their sides; to plan its memory.

        Args:
            patch: the network's stride.
        """

    def check_processes(self, processes: int) -> None:
        """Refuse several processes where the loss is not known to be that of one. The plan asks, before any job starts.

        Raises:
            CairnError: with code ``config``.
        """
        if processes > 1 and not self.whole_batch:
            reason = f"objective {self.kind}: over {processes} processes its loss is not that of the whole batch."
            raise CairnError(reason, "Set pretrain.processes to 1, or take another objective.", code="config")


class ViewConfig(ObjectiveSection):
    """Base of the sections of objectives that look at boxes of volumes."""

    patch_voxels: tuple[int, int, int] = (48, 48, 48)
    """Size of a view; a multiple of the network's stride along each axis, and more than the stride along one."""
    views: ClassVar[int] = 1
    """Views of a sample that the encoder that learns sees."""

    def seen(self, patch: int) -> list[tuple[int, tuple[int, ...]]]:
        """Views of the one size."""
        return [(self.views, self.patch_voxels)]

    def check(self, network: NetworkConfig) -> None:
        """Also: the view divides by the network's stride, and the deepest stage keeps two voxels or more."""
        super().check(network)
        multiple_of(network.stride, "stride of the network", self.patch_voxels, self.kind)
        # A single voxel has no variance, and instance norm refuses it once training has begun.
        if prod(n // network.stride for n in self.patch_voxels) < 2:
            reason = f"objective {self.kind}: of patch_voxels {self.patch_voxels} the deepest stage keeps one voxel."
            raise CairnError(reason, f"Take {2 * network.stride} voxels along some axis, or fewer stages.", "config")


def multiple_of(unit: int, name: str, size: tuple[int, int, int], kind: str, what: str = "patch_voxels") -> None:
    """Refuse a size that does not divide by ``unit``.

    Raises:
        CairnError: with code ``config``.
    """
    if any(n % unit for n in size):
        reason = f"objective {kind}: {what} {size} does not divide by the {name}, {unit}."
        raise CairnError(reason, f"Take multiples of {unit}.", code="config")
