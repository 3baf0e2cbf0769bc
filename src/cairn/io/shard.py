"""Shards: preprocessed sessions in one safetensors file, memory-mapped, so that a patch costs a patch.

safetensors was taken over a chunked, compressed store because weights use it already, it is never executable, and a
slice along the first axis is one contiguous read. See docs/reference/contracts.md for the layout.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cairn.errors import CairnError
from cairn.io.boxes import Corner, bounding_box
from cairn.io.tensors import Part, write_parts

FORMAT = 1
PIECE = 1 << 22  # bytes in memory at once when a tensor is copied
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
    parts = []
    for item in sessions:
        for name, volume in item.volumes.items():
            parts.append(_part(f"{item.key}/{name}", "F16", volume))
        parts.append(_part(f"{item.key}/mask", "U8", item.mask))
    write_parts(path, parts, _pack({item.key: item.geometry.to_json() for item in sessions}))


def merge_shards(path: Path, shards: Iterable[Path]) -> None:
    """Write the sessions of ``shards``, of different keys, as one: the bytes that `write_shard` gives for them all."""
    parts: list[Part] = []
    geometry: dict[str, Any] = {}
    for shard in shards:
        header = read_safetensors_header(shard)
        geometry |= json.loads(header.pop("__metadata__")["cairn"])["sessions"]
        start = shard.stat().st_size - max((t["data_offsets"][1] for t in header.values()), default=0)
        for name, tensor in header.items():
            low, high = tensor["data_offsets"]
            read = partial(_bytes_of, shard, start + low, start + high)
            parts.append(Part(name, tensor["dtype"], tuple(tensor["shape"]), read))
    write_parts(path, parts, _pack(geometry))


def _part(name: str, dtype: Literal["F16", "U8"], array: Array) -> Part:
    kind = {"F16": np.float16, "U8": np.uint8}[dtype]
    return Part(name, dtype, array.shape, lambda: (np.ascontiguousarray(array, dtype=kind).data,))


def _pack(geometry: Mapping[str, Any]) -> str:
    return json.dumps({"format": FORMAT, "sessions": geometry}, sort_keys=True)


def _bytes_of(path: Path, start: int, end: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while start < end and (piece := file.read(min(PIECE, end - start))):
            start += len(piece)
            yield piece


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
        self._boxes: dict[str, tuple[Corner, Corner]] = {}
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

    def brain_box(self, key: str) -> tuple[Corner, Corner]:
        """Lowest voxel and one past the highest of the brain mask, the whole grid if it is empty; kept once read."""
        if key not in self._boxes:
            mask = self.mask(key)
            self._boxes[key] = bounding_box(mask if mask.any() else np.ones_like(mask))
        return self._boxes[key]

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


def read_arrays(path: Path) -> dict[str, Array]:
    """All tensors of a safetensors file.

    Raises:
        CairnError: when the file is missing, truncated, damaged or not safetensors.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    read_safetensors_header(path)
    try:
        return load_file(path)  # type: ignore[no-any-return]
    except (SafetensorError, OSError, ValueError) as error:
        raise CairnError(f"{path}: damaged ({error}).", "Make it again.", code="truncated") from None


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write a safetensors file, at once or not at all; equal arrays give equal bytes."""
    from safetensors.numpy import save_file

    from cairn.io.atomic import atomic_path

    with atomic_path(path) as temporary:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary)
