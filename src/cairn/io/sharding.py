"""A session's shard follows from its identifier alone, so that new data touches few shards."""

from __future__ import annotations

import hashlib


def shard_of(subject: str, session: str, shards: int) -> int:
    """Shard number of a session: SHA-256 of ``subject/session``, modulo the number of shards."""
    return int(hashlib.sha256(f"{subject}/{session}".encode()).hexdigest(), 16) % shards


def shard_name(shard: int) -> str:
    """Four-digit name of a shard."""
    return f"{shard:04d}"
