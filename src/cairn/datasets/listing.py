"""What a plan may know of a tree of scans without reading them: one fingerprint a shard.

A shard's fingerprint changes when a scan of it is added, removed or changed, and does not when a file is merely
touched, copied or cloned. Reading 100 GB at every plan is out of the question, so each content carries a token: size
and time of the file when that content was first seen. When the time of a known file moves, that file alone is hashed;
content that has a token keeps it. Tokens travel with the results; the times under which they were last met do not.

Of 300,000 files both are long, so they are kept by shard, and read for a shard that does not look as it last did.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cairn.datasets.layouts import ScanFile, is_unknown, list_scans
from cairn.datasets.people import participants, person
from cairn.io.atomic import read_json, write_json
from cairn.io.members import content_hash
from cairn.io.sharding import shard_name, shard_of
from cairn.io.tables import read_table

KEPT = 3  # contents of a file whose tokens are kept: an edit undone is then no edit


class Listing:
    """The scans of a real data set by shard, and the fingerprints that plans compare.

    Args:
        root: folder of the data set.
        kind: one of `cairn.datasets.layouts.KINDS`.
        shards: number of shards.
        tokens: folder of the tokens (``{shard}.json``); it belongs to the results.
        met: folder of this machine's last look.
        index: folder of the shard indexes (``{shard}.tsv``), where the known content hashes are.
    """

    def __init__(self, root: Path, kind: str, shards: int, tokens: Path, met: Path, index: Path) -> None:
        self.root, self._tokens, self._met, self._index = root, tokens, met, index
        self._people = participants(root, kind)
        by_shard: dict[str, list[ScanFile]] = {}
        for scan in list_scans(root, kind):
            by_shard.setdefault(shard_name(shard_of(scan.subject, scan.session, shards)), []).append(scan)
        self.unknown = [s for s, scans in sorted(by_shard.items()) if any(is_unknown(scan.sequence) for scan in scans)]
        self._hashes: dict[str, str] | None = None
        self._who = {
            shard: [person(self._people, *session) for session in sorted({(s.subject, s.session) for s in scans})]
            for shard, scans in by_shard.items()
        }
        self._contents = self._seen(by_shard)

    @property
    def shards(self) -> list[str]:
        """Names of the shards that hold a scan."""
        return sorted(self._contents)

    def fingerprint(self, shard: str) -> str:
        """Hash over the shard's scans (names, tokens) and what is said of their people."""
        return _hash([self._contents[shard], self._who[shard]])

    def _seen(self, by_shard: Mapping[str, Sequence[ScanFile]]) -> dict[str, str]:
        """Hash over the contents of each shard: as last time where nothing looks different."""
        memory = self._met / "shards.json"
        last: dict[str, list[str]] = read_json(memory) if memory.is_file() else {}
        now = {}
        for shard, scans in sorted(by_shard.items()):
            look = _hash([(s.path, s.subject, s.session, s.sequence, s.size, s.mtime_ns) for s in scans])
            known = last.get(shard, [""])
            same = known[0] == look and (self._tokens / f"{shard}.json").is_file()
            now[shard] = known if same else [look, self._content(shard, scans)]
        if now != last:
            write_json(memory, now)
        return {shard: content for shard, (_, content) in now.items()}

    def _content(self, shard: str, scans: Sequence[ScanFile]) -> str:
        """Hash over the scans of a shard, each by its token; both memories of the shard are brought up to date."""
        memory, met = (folder / f"{shard}.json" for folder in (self._tokens, self._met))
        known: dict[str, dict[str, str]] = read_json(memory) if memory.is_file() else {}
        last: dict[str, list[str]] = read_json(met) if met.is_file() else {}
        contents = {path: dict(there) for path, there in known.items()}  # of removed files too: they may come back
        looks: dict[str, list[str]] = {}
        for scan in scans:
            now = f"{scan.size}-{scan.mtime_ns}"
            seen, tokens = last.get(scan.path), contents.setdefault(scan.path, {})
            token = seen[1] if seen and seen[0] == now else self._token(scan.path, now, tokens)
            looks[scan.path] = [now, token]
        for path, data, before in ((memory, contents, known), (met, looks, last)):
            if data != before:
                write_json(path, data)
        return _hash([(s.path, s.subject, s.session, s.sequence, looks[s.path][1]) for s in scans])

    def _token(self, path: str, now: str, contents: dict[str, str]) -> str:
        """Token of a file whose time is new here; ``contents`` (token -> SHA-256, empty where not yet known) grows."""
        if not contents:
            contents[now] = ""
        if now in contents:
            return now
        for token in [t for t, digest in contents.items() if not digest]:
            contents[token] = self._indexed(path)  # it was indexed since, or it never will be
        digest = content_hash(self.root / path) or "unreadable"
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


def _hash(data: Any) -> str:
    return hashlib.sha256(json.dumps(data).encode()).hexdigest()[:16]
