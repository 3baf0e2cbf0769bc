"""All sessions of a data set, across its shards. A shard's index stands for it; the tensors lie beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cairn.errors import CairnError
from cairn.io.shard import SessionGeometry, Shard
from cairn.io.tables import SHARD_COLUMNS, read_table

INDEX_SUFFIX = ".index.tsv"


@dataclass(frozen=True)
class Session:
    """One preprocessed session: where it lies and how to read it."""

    subject: str
    session: str
    shard: Shard

    @property
    def key(self) -> str:
        """``subject/session``."""
        return f"{self.subject}/{self.session}"

    @property
    def sequences(self) -> list[str]:
        """Sequences, sorted."""
        return self.shard.sequences(self.key)

    @property
    def geometry(self) -> SessionGeometry:
        """Grid and relation to each native scan."""
        return self.shard.geometry(self.key)

    def mask(self) -> npt.NDArray[np.bool_]:
        """Brain mask on the grid."""
        return self.shard.mask(self.key)

    def brain_box(self) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """Lowest voxel and one past the highest of the brain mask; the whole grid if it is empty. Read once."""
        return self.shard.brain_box(self.key)

    def volume(self, sequence: str) -> npt.NDArray[np.float32]:
        """A whole volume, float32 ``[X, Y, Z]``."""
        return self.shard.volume(self.key, sequence)

    def patch(self, sequence: str, origin: Sequence[int], size: Sequence[int]) -> npt.NDArray[np.float32]:
        """A box of a volume; 0 outside the grid."""
        return self.shard.patch(self.key, sequence, origin, size)


def open_sessions(indexes: Iterable[Path]) -> list[Session]:
    """Sessions of the shards that ``indexes`` (``*.index.tsv``) stand for, sorted by key; no voxel is read.

    Raises:
        CairnError: when an index or its shard is missing, or they disagree.
    """
    found = []
    for index in indexes:
        if not index.name.endswith(INDEX_SUFFIX):
            raise CairnError(f"{index}: not the index of a shard.", f"Name a file '*{INDEX_SUFFIX}'.", "shard")
        rows = read_table(index, SHARD_COLUMNS)
        if not rows:
            continue
        shard = Shard(index.with_name(index.name.removesuffix(INDEX_SUFFIX) + ".safetensors"))
        listed = {f"{r['subject']}/{r['session']}" for r in rows}
        if listed != set(shard.sessions):
            odd = ", ".join(sorted(listed ^ set(shard.sessions))[:3])
            raise CairnError(f"{index}: index and shard disagree ({odd}).", "Run preprocess again.", code="shard")
        found += [Session(r["subject"], r["session"], shard) for r in rows]
    return sorted(found, key=lambda s: s.key)
