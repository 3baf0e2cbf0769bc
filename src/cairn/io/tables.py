"""Tab-separated tables with a fixed header. Values stay text, for the reader to convert; ``n/a`` is missing."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cairn.errors import CairnError
from cairn.io.atomic import write_text

MISSING = "n/a"
INDEX_COLUMNS = (
    "dataset", "subject", "session", "sequence", "path", "sha256", "shape", "zooms", "orientation",
    "age", "sex", "site", "split",
)  # fmt: skip
LABEL_COLUMNS = ("subject", "session", "value", "mask", "mask_sequence")
PEOPLE_COLUMNS = ("subject", "session", "age", "sex")
QUARANTINE_COLUMNS = ("dataset", "subject", "session", "sequence", "path", "code", "reason", "remedy")
SHARD_COLUMNS = ("subject", "session", "sequences", "shape", "shard_sha256", "session_sha256", "classified")
HASH_COLUMNS = ("dataset", "subject", "session", "sequence", "sha256", "hash")
PREDICTION_COLUMNS = ("subject", "session", "value", "mask", "mask_sha256", "status")
FEW_SHOT_PREDICTION_COLUMNS = ("share", "draw", "n", *PREDICTION_COLUMNS)
FEW_SHOT_COLUMNS = ("run", "task", "share", "n", "seed", "metric", "value", "ci_low", "ci_high")


def write_table(path: Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write ``rows`` under ``columns``, atomically. Absent values become ``n/a``, tabs and newlines spaces."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, escapechar="\\")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(c)) for c in columns])
    write_text(path, out.getvalue())


def _cell(value: Any) -> str:
    return MISSING if value is None or value == "" else " ".join(str(value).split())


def read_table(path: Path, columns: Sequence[str] = ()) -> list[dict[str, str]]:
    """Read a table as a list of rows.

    Raises:
        CairnError: when the file is missing, has a field of more than 131,072 characters, or lacks one
            of ``columns``.
    """
    if not path.is_file():
        raise CairnError(f"{path}: no such table.", "Check the path in the configuration.", code="missing")
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE, escapechar="\\")
        try:
            rows = [{k: (v if v is not None else MISSING) for k, v in row.items() if k is not None} for row in reader]
        except csv.Error as error:
            raise CairnError(
                f"{path}: line {reader.line_num + 1}: no row of a table ({error}).",
                "Save it tab-separated, one row a line; mend or shorten what stands in that line.", "table",
            ) from None  # fmt: skip
        absent = [c for c in columns if c not in (reader.fieldnames or ())]
    if absent:
        raise CairnError(
            f"{path}: lacks the column(s) {', '.join(absent)}.",
            f"A tab-separated table with the header '{' '.join(columns)}' is expected.", code="table",
        )  # fmt: skip
    return rows
