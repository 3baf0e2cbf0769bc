"""A manifest as a data set: a table names the scans, and no tree is walked.

What holds 300,000 scans is read once after each change of the table, row by row, and never held; what a plan needs of
it afterwards is one fingerprint a shard. The manifest speaks for its files: a file that changes under a row that gives
its content hash is found at preprocessing, and quarantined; to have it taken, write its new hash.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from cairn.datasets.layouts import is_unknown
from cairn.errors import CairnError
from cairn.io.atomic import read_json, sha256, write_json
from cairn.io.sharding import shard_name, shard_of
from cairn.io.stat_cache import stamp
from cairn.io.tables import MISSING

NEEDED = ("subject", "session", "sequence", "path")
OPTIONAL = ("sha256", "age", "sex", "site", "split")
COLUMNS = (*NEEDED, *OPTIONAL)
SPLIT = COLUMNS.index("split")
FOUND = ("fingerprints", "unknown", "splits")  # what is kept of a manifest that was read
BATCH = 4096  # rows of a Parquet file in memory at once
Row = tuple[str, ...]
"""Cells in the order of ``COLUMNS``, ``n/a`` where there is none."""
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*")
_SEQUENCE = re.compile(r"[A-Za-z0-9]+(_[A-Za-z0-9]+)*")


def read_rows(manifest: Path) -> Iterator[Row]:
    """Rows of a manifest, Parquet (``.parquet``) or tab-separated, as they stand there, one at a time.

    Raises:
        CairnError: code ``missing``, ``table`` (not readable, a column that lacks) or ``name`` (a cell that cannot be
            used), naming the row.
    """
    if not manifest.is_file():
        raise CairnError(f"{manifest}: no such manifest.", "Mend 'manifest' of the data set.", "missing")
    rows = _parquet(manifest) if manifest.suffix == ".parquet" else _tsv(manifest)
    for number, row in enumerate(rows, 1):
        wrong = _wrong(row)
        if wrong:
            raise CairnError(f"{manifest}: row {number}: {wrong[0]}.", wrong[1], "name")
        yield row


def rows_of_shard(manifest: Path, shard: int, shards: int) -> list[dict[str, str]]:
    """Rows of one shard by column, sorted; from a manifest that `read_rows` takes."""
    place = cache(shard_of)
    found = sorted(row for row in read_rows(manifest) if place(row[0], row[1], shards) == shard)
    return [dict(zip(COLUMNS, row, strict=True)) for row in found]


class ManifestListing:
    """The shards of a manifest, and the fingerprints that plans compare.

    A fingerprint is the sum of its rows' hashes, so that the order of rows means nothing and none need be held.

    Args:
        manifest: the table.
        shards: number of shards.
        met: JSON file of this machine's last look; while the table is the same, nothing else is read.
    """

    def __init__(self, manifest: Path, shards: int, met: Path) -> None:
        if not manifest.is_file():
            raise CairnError(f"{manifest}: no such manifest.", "Mend 'manifest' of the data set.", "missing")
        last = read_json(met) if met.is_file() else {}
        if not set(FOUND) <= set(last):  # never read, or kept by a version that looked for less
            last = {}
        now = {"stamp": stamp(manifest), "shards": shards}
        if not all(last.get(key) == value for key, value in now.items()):
            now["sha256"] = sha256(manifest)
            same = all(last.get(key) == now[key] for key in ("shards", "sha256"))
            found = {k: last[k] for k in FOUND} if same else _fingerprints(manifest, shards)
            last = {**now, **found}
            write_json(met, last)
        self._fingerprints: dict[str, str] = last["fingerprints"]
        self.unknown: list[str] = last["unknown"]
        self.splits: list[str] = last["splits"]

    @property
    def shards(self) -> list[str]:
        """Names of the shards that hold a scan."""
        return sorted(self._fingerprints)

    def fingerprint(self, shard: str) -> str:
        """Hash over the shard's rows, whatever their order."""
        return self._fingerprints[shard]


def _fingerprints(manifest: Path, shards: int) -> dict[str, Any]:
    """Fingerprints by shard, the shards with a scan of unknown sequence, and the splits that rows are of."""
    sums: dict[int, int] = {}
    unknown: set[int] = set()
    splits: set[str] = set()
    place = cache(shard_of)
    for row in read_rows(manifest):
        shard = place(row[0], row[1], shards)
        digest = hashlib.sha256("\t".join(row).encode()).digest()
        sums[shard] = sums.get(shard, 0) + int.from_bytes(digest, "big")
        splits.add(row[SPLIT])
        if is_unknown(row[2]):
            unknown.add(shard)
    if not sums:
        raise CairnError(f"{manifest}: names no scan.", "Give it one row a scan.", "no-scans")
    prints = {shard_name(shard): f"{total % (1 << 256):064x}"[:32] for shard, total in sorted(sums.items())}
    return {
        "fingerprints": prints, "unknown": [shard_name(shard) for shard in sorted(unknown)], "splits": sorted(splits),
    }  # fmt: skip


def _wrong(row: Row) -> tuple[str, str] | None:
    """What is wrong with a row, and the remedy."""
    subject, session, sequence, path = row[:4]
    for name, value in (("subject", subject), ("session", session)):
        if not _LABEL.fullmatch(value):
            return f"{name} '{value}' is no usable identifier", "Use letters, digits and + . - _ only."
    if not _SEQUENCE.fullmatch(sequence):
        return f"sequence '{sequence}' is no usable name", "Use letters and digits, and '_' before a number (T1w_2)."
    if path.startswith("/") or ".." in path.split("/") or path == MISSING:
        return f"path '{path}' does not lie below the root", "Give paths relative to 'root' of the data set."
    return None


def _tsv(manifest: Path) -> Iterator[Row]:
    with manifest.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE, escapechar="\\")
        try:
            places = _places(manifest, next(reader, []))
            for cells in reader:
                known = len(cells)
                yield tuple([cells[p] or MISSING if p is not None and p < known else MISSING for p in places])
        except csv.Error as error:
            reason = f"{manifest}: line {reader.line_num + 1}: no row of a table ({error})."
            raise CairnError(reason, "Save it tab-separated; mend what stands in that line.", "table") from None


def _parquet(manifest: Path) -> Iterator[Row]:
    import pyarrow.parquet as pq
    from pyarrow import ArrowInvalid

    try:
        table = pq.ParquetFile(manifest, memory_map=True)
        places = _places(manifest, table.schema_arrow.names)
        wanted = [table.schema_arrow.names[p] for p in places if p is not None]
        for batch in table.iter_batches(BATCH, columns=wanted, use_threads=False):
            columns = {name: [_text(v) for v in batch.column(name).to_pylist()] for name in wanted}
            yield from zip(*(columns.get(name, [MISSING] * len(batch)) for name in COLUMNS), strict=True)
    except (ArrowInvalid, OSError) as error:
        raise CairnError(f"{manifest}: not a readable Parquet file ({error}).", "Write it again.", "table") from None


def _places(manifest: Path, header: Sequence[str]) -> list[int | None]:
    """Place of each of ``COLUMNS`` in a table."""
    absent = [name for name in NEEDED if name not in header]
    if absent:
        raise CairnError(
            f"{manifest}: lacks the column(s) {', '.join(absent)}.",
            f"A manifest has {', '.join(NEEDED)}; and {', '.join(OPTIONAL)} where they are known.", "table",
        )  # fmt: skip
    return [header.index(name) if name in header else None for name in COLUMNS]


def _text(value: Any) -> str:
    return MISSING if value is None or value != value or value == "" else " ".join(str(value).split())
