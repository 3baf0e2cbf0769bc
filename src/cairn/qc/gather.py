"""All shards of all data sets in one list of sessions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cairn.config.qc import QcConfig
from cairn.io.atomic import read_json
from cairn.io.tables import QUARANTINE_COLUMNS, read_table
from cairn.qc.flags import Flag, session_flags


@dataclass
class Session:
    """One session as the page shows it."""

    dataset: str
    shard: str
    key: str
    numbers: dict[str, Any]
    folder: Path
    flags: list[Flag] = field(default_factory=list)
    truth: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """``dataset/subject/session``."""
        return f"{self.dataset}/{self.key}"


def gather(indexes: Iterable[Path], limits: QcConfig) -> tuple[list[Session], list[dict[str, str]]]:
    """Sessions, sorted and flagged, and the quarantine's rows.

    Args:
        indexes: ``preprocess/{dataset}/{shard}.index.tsv``; the QC numbers, the quarantine and the figures lie beside.
        limits: of the flags.
    """
    sessions: list[Session] = []
    quarantine: list[dict[str, str]] = []
    for index in sorted(indexes):
        shard, folder = index.name.removesuffix(".index.tsv"), index.parent
        quarantine += read_table(folder / f"{shard}.quarantine.tsv", QUARANTINE_COLUMNS)
        entries = read_json(folder / f"{shard}.qc.json")["sessions"]
        for key in sorted(entries):
            numbers = entries[key]
            flags = session_flags(numbers, limits)
            sessions.append(Session(folder.name, shard, key, numbers, folder / f"{shard}.qc", flags))
    _flag_doubles(sessions)
    return sessions, quarantine


def _flag_doubles(sessions: list[Session]) -> None:
    """The same bytes in two places: within a shard they are quarantined, across shards and data sets they show here."""
    seen: dict[str, str] = {}
    for session in sessions:
        for sequence, digest in sorted(session.numbers.get("sha256", {}).items()):
            other = seen.setdefault(digest, session.name)
            if digest not in ("n/a", "") and other != session.name:
                session.flags.append(Flag("duplicate", sequence, f"The same bytes as a scan of {other}."))
