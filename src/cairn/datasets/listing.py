"""What a plan may know of a tree of scans without reading them: one fingerprint a shard.

A shard's fingerprint changes when a scan of it is added, removed or changed, and does not when a file is merely
touched, copied or cloned. Reading 100 GB at every plan is out of the question, so each content carries a token: size
and time of the file when that content was first seen. When the time of a known file moves, that file alone is hashed;
content that has a token keeps it. Tokens travel with the results; the times under which they were last met do not.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from cairn.datasets.layouts import ScanFile, list_scans
from cairn.datasets.people import participants, person
from cairn.io.atomic import read_json, write_json
from cairn.io.members import member_sha256
from cairn.io.sharding import shard_name, shard_of
from cairn.io.tables import read_table

KEPT = 3  # contents of a file whose tokens are kept: an edit undone is then no edit


class Listing:
    """The scans of a real data set by shard, and the fingerprints that plans compare.

    Args:
        root: folder of the data set.
        kind: one of `cairn.datasets.layouts.KINDS`.
        shards: number of shards.
        tokens: JSON file of the tokens; it belongs to the results.
        met: JSON file of this machine's last look.
        index: folder of the shard indexes (``{shard}.tsv``), where the known content hashes are.
    """

    def __init__(self, root: Path, kind: str, shards: int, tokens: Path, met: Path, index: Path) -> None:
        self.root, self._index = root, index
        self._people = participants(root, kind)
        self.by_shard: dict[str, list[ScanFile]] = {}
        for scan in list_scans(root, kind):
            name = shard_name(shard_of(scan.subject, scan.session, shards))
            self.by_shard.setdefault(name, []).append(scan)
        self._hashes: dict[str, str] | None = None
        self._tokens = self._remember(tokens, met)

    @property
    def shards(self) -> list[str]:
        """Names of the shards that hold a scan."""
        return sorted(self.by_shard)

    def fingerprint(self, shard: str) -> str:
        """Hash over the shard's scans (names, tokens) and what is said of their people."""
        rows = [(s.path, s.subject, s.session, s.sequence, self._tokens[s.path]) for s in self.by_shard[shard]]
        sessions = sorted({(s.subject, s.session) for s in self.by_shard[shard]})
        people = [person(self._people, *session) for session in sessions]
        return hashlib.sha256(json.dumps([rows, people]).encode()).hexdigest()[:16]

    def _remember(self, memory: Path, met: Path) -> dict[str, str]:
        known: dict[str, dict[str, str]] = read_json(memory) if memory.is_file() else {}
        last: dict[str, list[str]] = read_json(met) if met.is_file() else {}
        contents = {path: dict(there) for path, there in known.items()}  # of removed files too: they may come back
        looks: dict[str, list[str]] = {}
        for scan in (s for scans in self.by_shard.values() for s in scans):
            now = f"{scan.size}-{scan.mtime_ns}"
            seen, tokens = last.get(scan.path), contents.setdefault(scan.path, {})
            token = seen[1] if seen and seen[0] == now else self._token(scan.path, now, tokens)
            looks[scan.path] = [now, token]
        for path, data, before in ((memory, contents, known), (met, looks, last)):
            if data != before:
                write_json(path, data)
        return {path: token for path, (_, token) in looks.items()}

    def _token(self, path: str, now: str, contents: dict[str, str]) -> str:
        """Token of a file whose time is new here; ``contents`` (token -> SHA-256, empty where not yet known) grows."""
        if not contents:
            contents[now] = ""
        if now in contents:
            return now
        for token in [t for t, digest in contents.items() if not digest]:
            contents[token] = self._indexed(path)  # it was indexed since, or it never will be
        digest = member_sha256(self.root / path)
        for token, other in contents.items():
            if other == digest:
                return token
        contents[now] = digest
        for old in list(contents)[:-KEPT]:
            del contents[old]
        return now

    def _indexed(self, path: str) -> str:
        """SHA-256 of a file as the indexes have it; of one that is not indexed, a word that no hash equals."""
        if self._hashes is None:
            tables = [read_table(table) for table in sorted(self._index.glob("*.tsv"))]
            self._hashes = {row["path"]: row["sha256"] for rows in tables for row in rows}
        return self._hashes.get(path, "never indexed")
