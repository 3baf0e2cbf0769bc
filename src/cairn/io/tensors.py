"""Safetensors written a tensor at a time: memory holds one of them, not the file.

The bytes are those that the safetensors library writes, which wants every tensor in memory at once, and again as bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cairn.io.atomic import atomic_path

SIZES = {"F16": 2, "U8": 1}  # bytes of an element; the library puts the wider ones first, then goes by name


@dataclass(frozen=True)
class Part:
    """A tensor to be written; ``read`` gives its bytes, in pieces, when their turn has come."""

    name: str
    dtype: Literal["F16", "U8"]
    shape: tuple[int, ...]
    read: Callable[[], Iterable[Any]]

    @property
    def size(self) -> int:
        """Bytes."""
        return SIZES[self.dtype] * math.prod(self.shape)


def write_parts(path: Path, parts: Iterable[Part], meta: str) -> None:
    """Write a safetensors file atomically, with ``meta`` under the metadata key ``cairn``.

    Raises:
        ValueError: when a part gives more or fewer bytes than its shape says.
    """
    ordered = sorted(parts, key=lambda p: (-SIZES[p.dtype], p.name.encode()))
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(_header(ordered, meta))
        for part in ordered:
            end = file.tell() + part.size
            for piece in part.read():
                file.write(piece)
            if file.tell() != end:
                raise ValueError(f"{path}: tensor '{part.name}' is {file.tell() - end:+d} bytes off")


def _header(parts: Iterable[Part], meta: str) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {"cairn": meta}}
    at = 0
    for part in parts:
        entries[part.name] = {
            "dtype": part.dtype, "shape": list(part.shape), "data_offsets": [at, at + part.size],
        }  # fmt: skip
        at += part.size
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the data are aligned
    return len(text).to_bytes(8, "little") + text
