"""The history of a run: what was measured at which step. No times, so that equal runs give equal files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cairn.io.atomic import disk_errors, write_text

Record = Mapping[str, Any]


def lines(records: Iterable[Record]) -> str:
    """Records as lines of JSON; floats keep every digit."""
    return "".join(json.dumps(record) + "\n" for record in records)


class History:
    """Records of the run so far. A state holds them too; the file only lets people watch, and is never read back.

    Args:
        path: file for watching, in the state folder; None in a process that writes nothing.
        past: lines of the state that the run goes on from.
    """

    def __init__(self, path: Path | None, past: str = "") -> None:
        self.path, self.records = path, [json.loads(line) for line in past.splitlines()]
        if path:
            write_text(path, past)

    def add(self, record: Record) -> None:
        """Append a record.

        Raises:
            CairnError: with code ``disk`` when there is no space.
        """
        self.records.append(dict(record))
        if self.path is None:
            return
        with disk_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(lines([record]))
