"""Stacks of slices in the published orientations: axial PL, coronal IL, sagittal IP (Curia's model card).

The first letter is where image rows go with their number, the second where columns go; slices are counted towards S, A
and R. So an axial slice shows as radiologists see it: patient's right on the left, front at the top.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.config.slices import Plane
from cairn.io.sessions import Session

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Turn:
    """A stack is the RAS volume with its ``axes`` in this order, then rows and columns ``flipped``."""

    axes: tuple[int, int, int]
    flipped: tuple[int, ...] = (1, 2)

    @property
    def back(self) -> tuple[int, int, int]:
        """Order of the stack's axes in the volume."""
        x, y, z = (self.axes.index(i) for i in range(3))
        return x, y, z


TURNS: dict[Plane, Turn] = {
    "axial": Turn((2, 1, 0)),  # slices to S; rows to P, against A; columns to L, against R
    "coronal": Turn((1, 2, 0)),  # slices to A; rows to I, against S; columns to L, against R
    "sagittal": Turn((0, 2, 1)),  # slices to R; rows to I, against S; columns to P, against A
}


def stack_of(volume_XYZ: Array, plane: Plane) -> Array:
    """The slices ``[S, H, W]`` of a volume or mask in RAS order, a view; a slice of it is a slice of the volume."""
    turn = TURNS[plane]
    return np.flip(volume_XYZ.transpose(turn.axes), turn.flipped)


def volume_of(stack_SHW: Array, plane: Plane) -> Array:
    """Inverse of `stack_of`: ``[X, Y, Z]`` in RAS order, a view."""
    turn = TURNS[plane]
    return np.flip(stack_SHW, turn.flipped).transpose(turn.back)


def slice_count(session: Session, plane: Plane) -> int:
    """Slices of a session's grid; their numbers are those of the voxels along the axis."""
    return session.geometry.shape[TURNS[plane].axes[0]]


def read_slice(session: Session, sequence: str, plane: Plane, number: int) -> npt.NDArray[np.float32]:
    """One slice ``[H, W]`` straight from the shard, as `stack_of` of the whole volume has it.

    Args:
        session: where the volume lies, in RAS order as all shards have it.
        sequence: which volume.
        plane: orientation.
        number: of the slice.

    Raises:
        IndexError: when the grid has no such slice.
    """
    if not 0 <= number < slice_count(session, plane):
        raise IndexError(f"{plane} slice {number} of {slice_count(session, plane)}")
    axis = TURNS[plane].axes[0]
    origin, size = [0, 0, 0], list(session.geometry.shape)
    origin[axis], size[axis] = number, 1
    return np.asarray(stack_of(session.patch(sequence, origin, size), plane)[0])
