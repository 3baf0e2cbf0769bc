"""CuriaBench's published layout: ``{config}/{split}-*.parquet`` with ``image``, ``mask``, ``target`` and extras."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cairn.bench.items import Item, ItemWriter, batches, check_item, write_items
from cairn.bench.nested import from_nested
from cairn.bench.targets import class_number, write_targets
from cairn.config.bench import BenchTarget, ImportItemsJob
from cairn.errors import CairnError
from cairn.io.atomic import disk_errors, remove_left_overs

SPLITS = ("train", "val", "test")
EXTRAS = ("series_id", "filename")
SHARD_BYTES = 1 << 30  # "parquet shards ≤1 GB"


@dataclass(frozen=True)
class PublishedItem:
    """A row: the item, its target as it is stored, and every other column."""

    item: Item
    target: Any
    extras: Mapping[str, Any]


def split_files(root: Path, config: str, split: str) -> list[Path]:
    """Files of a split, sorted; empty where it is absent."""
    return sorted((root / config).glob(f"{split}-*.parquet"))


def read_published(files: Sequence[Path]) -> Iterator[PublishedItem]:
    """Rows of a split, one at a time; memory holds one row group.

    Raises:
        CairnError: for a missing file or column, and for a ragged or otherwise bad item, naming file and row.
    """
    for path in files:
        number = 0
        for batch in batches(path, ("target",), rows=1):
            names = [n for n in batch.schema.names if n not in ("image", "mask")]
            for row in range(batch.num_rows):
                where = f"{path}, row {number}"
                plain = {name: batch.column(name)[row].as_py() for name in names}
                yield _row(batch, row, plain, where, f"{path.name}#{number}")
                number += 1


def _row(batch: Any, row: int, plain: Mapping[str, Any], where: str, name: str) -> PublishedItem:
    image = from_nested(batch.column("image"), row, f"{where}: image").astype(np.float32, copy=False)
    mask = None
    if "mask" in batch.schema.names and batch.column("mask")[row].is_valid:
        mask = from_nested(batch.column("mask"), row, f"{where}: mask") != 0
    check_item(image, mask, where)
    series, filename = (_text(plain.get(key)) or name for key in EXTRAS)
    item = Item(series, name, image, mask, series, filename)
    return PublishedItem(item, plain["target"], plain)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def write_published(
    folder: Path, split: str, rows: Iterable[PublishedItem], shard_bytes: int = SHARD_BYTES
) -> list[Path]:
    """Write a split as ``{split}-00000-of-0000N.parquet``; returns the files.

    Raises:
        CairnError: for a bad item, or none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remove_left_overs(folder)
    parts: list[Path] = []
    writer: ItemWriter | None = None
    size = 0
    with disk_errors(folder / split):
        for row in rows:
            check_item(row.item.image, row.item.mask, f"item {row.item.key}")
            if writer is None or size >= shard_bytes:
                if writer is not None:
                    writer.close()
                parts.append(folder / f".tmp-{split}-{len(parts)}.parquet")
                writer, size = ItemWriter(parts[-1], _columns(row)), 0
            extras = {name: row.extras.get(name, getattr(row.item, name, None)) for name, _ in writer.columns}
            writer.add({**extras, "target": row.target, "image": row.item.image, "mask": row.item.mask})
            size += 5 * row.item.image.size
        if writer is None:
            raise CairnError(f"{folder}: split '{split}' has no item.", "Give one at least.", "no-items")
        writer.close()
        named = [folder / f"{split}-{n:05d}-of-{len(parts):05d}.parquet" for n in range(len(parts))]
        for temporary, final in zip(parts, named, strict=True):
            temporary.replace(final)
    return named


def _columns(row: PublishedItem) -> list[tuple[str, Any]]:
    """Plain columns and their types, as the first row has them."""
    import pyarrow as pa

    extras = dict.fromkeys([*EXTRAS, *(k for k in row.extras if k != "target")])
    kinds = [(n, pa.infer_type([row.extras[n]]) if n in row.extras else pa.string()) for n in extras]
    return [("target", pa.infer_type([row.target])), *kinds]


def import_items(job: ImportItemsJob, files: Sequence[Path], items: Path, targets: Path) -> dict[str, Any]:
    """Items and targets of one task and split, apart from each other, from files in the published layout.

    Args:
        job: the task's target, and the column that tells people apart.
        files: the split's files.
        items: the set of items, without targets.
        targets: the table of targets.

    Returns:
        Facts for the card: items, left out for their class, people, and of each class the number.

    Raises:
        CairnError: for bad files, or a target that is out of the classes.
    """
    cells: list[dict[str, Any]] = []
    dropped = 0

    def kept() -> Iterator[Item]:
        nonlocal dropped
        for number, row in enumerate(read_published(files)):
            where = row.item.session
            found = _cells(job, row, where)
            if found is None:
                dropped += 1
                continue
            person = row.extras.get(job.subject)
            subject = "".join(c if c.isalnum() or c in "-_." else "-" for c in _text(person)) or f"row{number:06d}"
            item = Item(subject, f"{number:06d}", row.item.image, row.item.mask, row.item.series_id, row.item.filename)
            cells.append({"subject": subject, "session": item.session, **found})
            yield item

    count = write_items(items, kept())
    write_targets(targets, _kept_target(job), cells)
    counts: dict[str, int] = {}
    if job.target.kind in ("classification", "probe"):
        for cell in cells:
            counts[str(cell["value"])] = counts.get(str(cell["value"]), 0) + 1
    people = len({cell["subject"] for cell in cells})
    return {"items": count, "left_out": dropped, "people": people, "classes": counts}


def _kept_target(job: ImportItemsJob) -> BenchTarget:
    return job.target.model_copy(update={"classes": job.keep}) if job.keep else job.target


def _cells(job: ImportItemsJob, row: PublishedItem, where: str) -> dict[str, Any] | None:
    """Cells of a target's row; None where its class is not kept."""
    target, kind = row.target, job.target.kind
    if kind == "registration":
        raise CairnError(
            "CuriaBench publishes no configuration for registration.",
            "Make pairs from shards (form 'volume' with 'pairs').", "label",
        )  # fmt: skip
    if kind == "survival":
        absent = [c for c in (job.time, job.event) if c not in row.extras]
        if absent:
            reason = f"{where}: lacks the column(s) {', '.join(absent)} of time and event."
            raise CairnError(reason, "Name them: 'time', 'event'.", "table")
        return {"value": row.extras[job.time], "time": row.extras[job.time], "event": int(row.extras[job.event])}
    if kind == "findings":
        if not isinstance(target, list) or len(target) != len(job.target.classes):
            reason = f"{where}: target {target!r} is no list of {len(job.target.classes)} findings."
            raise CairnError(reason, "Name as many classes as it has findings.", "label")
        return {"value": sum(target), **dict(zip(job.target.classes, target, strict=True))}
    if kind == "regression":
        return {"value": repr(float(target))}
    number = class_number(target, job.target.classes or ("0", "1"), where)
    if not job.keep:
        return {"value": number}
    name = job.target.classes[number]
    return {"value": job.keep.index(name)} if name in job.keep else None
