"""Shards: preprocessed sessions in one safetensors file, memory-mapped, so that a patch costs a patch.

safetensors was taken over a chunked, compressed store because weights use it already, it is never executable, and a
slice along the first axis is one contiguous read. See docs/reference/contracts.md for the layout.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.errors import CairnError
from cairn.io.atomic import atomic_path

FORMAT = 1
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class SequenceGeometry:
    """How a scan lies: its native grid, and the 4x4 from grid world mm to the scan's own world mm."""

    native_shape: tuple[int, int, int]
    native_affine: Array
    grid_to_native: Array


@dataclass(frozen=True)
class SessionGeometry:
    """The session's common grid (shape, 4x4 voxel-to-world) and every scan's relation to it."""

    shape: tuple[int, int, int]
    affine: Array
    sequences: Mapping[str, SequenceGeometry]

    def to_json(self) -> dict[str, Any]:
        """Plain lists for JSON."""
        return json.loads(json.dumps(asdict(self), default=lambda a: a.tolist()))  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SessionGeometry:
        """Inverse of `to_json`."""
        sequences = {
            name: SequenceGeometry(
                tuple(s["native_shape"]), np.array(s["native_affine"]), np.array(s["grid_to_native"])
            )
            for name, s in data["sequences"].items()
        }
        return cls(tuple(data["shape"]), np.array(data["affine"]), sequences)


@dataclass(frozen=True)
class PreprocessedSession:
    """One session after preprocessing: volumes and brain mask on one grid, float32 and bool, ``[X, Y, Z]``."""

    subject: str
    session: str
    volumes: Mapping[str, Array]
    mask: Array
    geometry: SessionGeometry

    @property
    def key(self) -> str:
        """``subject/session``."""
        return f"{self.subject}/{self.session}"


def write_shard(path: Path, sessions: Sequence[PreprocessedSession]) -> None:
    """Write ``sessions`` (sorted by key) as one shard file, atomically; equal sessions give equal bytes."""
    from safetensors.numpy import save_file

    tensors: dict[str, Array] = {}
    geometry: dict[str, Any] = {}
    for item in sorted(sessions, key=lambda s: s.key):
        for name, volume in item.volumes.items():
            tensors[f"{item.key}/{name}"] = np.ascontiguousarray(volume, dtype=np.float16)
        tensors[f"{item.key}/mask"] = np.ascontiguousarray(item.mask, dtype=np.uint8)
        geometry[item.key] = item.geometry.to_json()
    header = json.dumps({"format": FORMAT, "sessions": geometry}, sort_keys=True)
    with atomic_path(path, sum(t.nbytes for t in tensors.values())) as temporary:
        save_file(tensors, temporary, metadata={"cairn": header})


class Shard:
    """Read-only view of a shard file; opening reads the header only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        header = read_safetensors_header(path)
        try:
            meta = json.loads(header["__metadata__"]["cairn"])
            self._geometry = {k: SessionGeometry.from_json(g) for k, g in meta["sessions"].items()}
            if meta["format"] != FORMAT:
                raise CairnError(f"{path}: shard format {meta['format']}, not {FORMAT}.", "Run preprocess again.")
        except KeyError:
            raise CairnError(f"{path}: not a Cairn shard.", "Run preprocess again.", code="shard") from None
        self._sequences: dict[str, list[str]] = {k: [] for k in self._geometry}
        for name in header:
            if name != "__metadata__" and not name.endswith("/mask"):
                key, sequence = name.rsplit("/", 1)
                self._sequences[key].append(sequence)

    @cached_property
    def _file(self) -> Any:
        from safetensors import safe_open

        return safe_open(self.path, framework="np")

    @property
    def sessions(self) -> list[str]:
        """Session keys (``subject/session``), sorted."""
        return sorted(self._geometry)

    def sequences(self, key: str) -> list[str]:
        """Sequences of a session, sorted."""
        return sorted(self._sequences[key])

    def geometry(self, key: str) -> SessionGeometry:
        """Geometry of a session."""
        return self._geometry[key]

    def volume(self, key: str, sequence: str) -> npt.NDArray[np.float32]:
        """A whole volume, float32 ``[X, Y, Z]``."""
        return np.asarray(self._file.get_tensor(f"{key}/{sequence}"), dtype=np.float32)

    def mask(self, key: str) -> npt.NDArray[np.bool_]:
        """The brain mask, bool ``[X, Y, Z]``."""
        return np.asarray(self._file.get_tensor(f"{key}/mask")) > 0

    def patch(self, key: str, sequence: str, origin: Sequence[int], size: Sequence[int]) -> npt.NDArray[np.float32]:
        """The box of ``size`` voxels at ``origin``, float32; what lies outside the grid is 0. Reads the box only."""
        shape = self._geometry[key].shape
        low = [max(0, o) for o in origin]
        high = [min(n, o + s) for n, o, s in zip(shape, origin, size, strict=True)]
        out = np.zeros(tuple(size), np.float32)
        if all(h > lo for h, lo in zip(high, low, strict=True)):
            source = tuple(slice(lo, h) for lo, h in zip(low, high, strict=True))
            target = tuple(slice(lo - o, h - o) for lo, h, o in zip(low, high, origin, strict=True))
            out[target] = self._file.get_slice(f"{key}/{sequence}")[source]
        return out


def read_safetensors_header(path: Path) -> dict[str, Any]:
    """The JSON header of a safetensors file, without its tensors.

    Raises:
        CairnError: when the file is missing, truncated or not safetensors.
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > path.stat().st_size:
                raise ValueError
            return json.loads(file.read(length))  # type: ignore[no-any-return]
    except FileNotFoundError:
        raise CairnError(f"{path}: no such file.", "Run the stage that makes it.", code="missing") from None
    except (struct.error, ValueError):
        raise CairnError(
            f"{path}: not a readable safetensors file.", "Delete it and run again.", code="truncated"
        ) from None
