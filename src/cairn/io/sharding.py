"""Which shard a session belongs to: a hash of its identifier, so that new data touches few shards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def shard_of(subject: str, session: str, shards: int) -> int:
    """Index of the shard that holds a session: ``sha256("subject/session") mod shards``."""
    return int.from_bytes(hashlib.sha256(f"{subject}/{session}".encode()).digest(), "big") % shards


def in_shard(sessions: Iterable[tuple[str, str]], shard: int, shards: int) -> list[tuple[str, str]]:
    """The sessions of one shard, sorted."""
    return sorted(s for s in sessions if shard_of(*s, shards) == shard)


def shard_name(shard: int) -> str:
    """Four digits, as file names carry them."""
    return f"{shard:04d}"
