"""What a plan may know of a tree of scans without reading them: one fingerprint a shard.

A shard's fingerprint changes when a scan of it is added, removed or changed, and does not when a file is merely
touched. Reading 100 GB at every plan is out of the question, so each file carries a token: its size and time when first
seen. When the time of a known file moves, that file alone is hashed and compared with the index; equal content keeps
its token.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from cairn.datasets.layouts import ScanFile, list_scans
from cairn.datasets.people import participants
from cairn.io.atomic import read_json, sha256, write_json
from cairn.io.sharding import shard_name, shard_of
from cairn.io.tables import read_table


class Listing:
    """The scans of a real data set by shard, and the fingerprints that plans compare.

    Args:
        root: folder of the data set.
        kind: ``bids`` or ``fomo60k``.
        shards: number of shards.
        memory: JSON file that keeps the tokens between plans.
        index: folder of the shard indexes (``{shard}.tsv``), where the known content hashes are.
    """

    def __init__(self, root: Path, kind: str, shards: int, memory: Path, index: Path) -> None:
        self.root = root
        self._people = participants(root)
        self.by_shard: dict[str, list[ScanFile]] = {}
        for scan in list_scans(root, kind):
            name = shard_name(shard_of(scan.subject, scan.session, shards))
            self.by_shard.setdefault(name, []).append(scan)
        self._tokens = self._remember(memory, index)

    @property
    def shards(self) -> list[str]:
        """Names of the shards that hold a scan."""
        return sorted(self.by_shard)

    def fingerprint(self, shard: str) -> str:
        """Hash over the shard's scans (names, sizes, tokens) and what is said of their people."""
        rows = [(s.path, s.subject, s.session, s.sequence, self._tokens[s.path]) for s in self.by_shard[shard]]
        people = sorted({s.subject for s in self.by_shard[shard]} & set(self._people))
        return hashlib.sha256(json.dumps([rows, [self._people[p] for p in people]]).encode()).hexdigest()[:16]

    def _remember(self, memory: Path, index: Path) -> dict[str, str]:
        known: dict[str, list[str]] = read_json(memory) if memory.is_file() else {}
        hashes: dict[str, str] | None = None
        fresh: dict[str, list[str]] = {}
        for scan in (s for scans in self.by_shard.values() for s in scans):
            stamp = f"{scan.size}-{scan.mtime_ns}"
            seen = known.get(scan.path)
            if seen is None or seen[0] == stamp:
                fresh[scan.path] = seen or [stamp, stamp]
                continue
            hashes = _indexed_hashes(index) if hashes is None else hashes
            same = scan.path in hashes and sha256(self.root / scan.path) == hashes[scan.path]
            fresh[scan.path] = [stamp, seen[1] if same else stamp]
        if fresh != known:
            write_json(memory, fresh)
        return {path: token for path, (_, token) in fresh.items()}


def _indexed_hashes(index: Path) -> dict[str, str]:
    rows = (row for table in sorted(index.glob("*.tsv")) for row in read_table(table))
    return {row["path"]: row["sha256"] for row in rows}
