"""The index of a shard: one row a scan, with its content hash and what its header says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cairn.datasets.layouts import list_scans
from cairn.datasets.manifest import rows_of_shard
from cairn.datasets.people import participants, person
from cairn.errors import CairnError
from cairn.io.atomic import atomic_path
from cairn.io.members import content_hash
from cairn.io.nifti import open_header
from cairn.io.sharding import shard_of
from cairn.io.tables import INDEX_COLUMNS, MISSING, read_table, write_table


def index_shard(
    root: Path, kind: str, dataset: str, shard: int, shards: int, out: Path, manifest: Path | None = None
) -> dict[str, str]:
    """Index the scans of one shard of a real data set; returns the SHA-256 of each, by path.

    A scan that cannot be read is listed with unknown hash and shape: preprocess quarantines it by name. So it does
    where a file is missing, or its content is not the one that a manifest gives.

    Args:
        root: folder of the data set.
        kind: its kind, as `list_scans` has it, or ``manifest``.
        dataset: its name.
        shard: number of the shard.
        shards: number of shards.
        out: the index.
        manifest: the table of the scans; for kind ``manifest``.

    Raises:
        CairnError: from `list_scans` or `rows_of_shard`, or when ``participants.tsv`` names a subject twice.
    """
    rows, known = [], {}
    for scan in rows_of_shard(manifest, shard, shards) if manifest else _walked(root, kind, shard, shards):
        path = root / scan["path"]
        found = content_hash(path)
        if found:
            known[path.as_posix()] = found
        given = scan.get("sha256", MISSING)
        rows.append({**scan, "dataset": dataset, "sha256": found if given == MISSING else given, **_header(path)})
    write_table(out, rows, INDEX_COLUMNS)
    return known


def _walked(root: Path, kind: str, shard: int, shards: int) -> Iterator[dict[str, Any]]:
    """Scans of a shard of a tree, with what is said of their people."""
    people = participants(root, kind)
    for scan in list_scans(root, kind, lambda subject, session: shard_of(subject, session, shards) == shard):
        row = {column: getattr(scan, column) for column in ("subject", "session", "sequence", "path")}
        yield row | person(people, scan.subject, scan.session)


def _header(path: Path) -> dict[str, str]:
    import nibabel as nib
    import numpy as np

    try:
        _, shape, affine = open_header(path)
    except CairnError:
        return {"shape": MISSING, "zooms": MISSING, "orientation": MISSING}
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    return {
        "shape": "x".join(map(str, shape)),
        "zooms": "x".join(f"{z:.3g}" for z in zooms),
        "orientation": "".join(nib.aff2axcodes(affine)),  # type: ignore[attr-defined]
    }


def write_manifest(indexes: Iterable[Path], out: Path) -> None:
    """Gather shard indexes into the data set's manifest (Parquet; one row a scan, text columns, age as a number)."""
    import pandas as pd
    import pyarrow  # noqa: F401, pandas' engine for Parquet: imported by name, so that its pin counts

    rows: list[dict[str, Any]] = [row for index in sorted(indexes) for row in read_table(index, INDEX_COLUMNS)]
    frame = pd.DataFrame(rows, columns=list(INDEX_COLUMNS)).replace(MISSING, None)
    frame["age"] = pd.to_numeric(frame["age"], errors="coerce")
    with atomic_path(out) as temporary:
        frame.sort_values(["subject", "session", "sequence"]).to_parquet(temporary, index=False)
