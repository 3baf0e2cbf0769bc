"""CuriaBench's published layout: ``{config}/{split}-*.parquet`` with ``image``, ``mask``, ``target`` and extras."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cairn.bench.items import PAIR_COLUMNS, Item, ItemWriter, batches, check_item, write_items
from cairn.bench.nested import from_nested
from cairn.bench.targets import class_number
from cairn.config.bench import ImportItemsJob, PublishedSet, SliceAxis
from cairn.errors import CairnError
from cairn.io.atomic import disk_errors, remove_left_overs, write_json
from cairn.io.tables import write_table

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


def read_published(files: Sequence[Path], slice_axis: SliceAxis = "first") -> Iterator[PublishedItem]:
    """Rows of a split, one at a time; memory holds one row group.

    Args:
        files: of the split.
        slice_axis: which of three axes counts the slices; image and mask come with it first.

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
                yield _row(batch, row, plain, where, f"{path.name}#{number}", slice_axis)
                number += 1


def _row(
    batch: Any, row: int, plain: Mapping[str, Any], where: str, name: str, slice_axis: SliceAxis
) -> PublishedItem:  # fmt: skip
    image = from_nested(batch.column("image"), row, f"{where}: image").astype(np.float32, copy=False)
    mask = None
    if "mask" in batch.schema.names and batch.column("mask")[row].is_valid:
        mask = from_nested(batch.column("mask"), row, f"{where}: mask") != 0
    check_item(image, mask, where)
    if image.ndim == 3:  # the mask has its shape
        at = {"first": 0, "last": 2, "smallest": int(np.argmin(image.shape))}[slice_axis]
        image = np.moveaxis(image, at, 0)
        mask = None if mask is None else np.moveaxis(mask, at, 0)
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


def import_items(job: ImportItemsJob, files: Sequence[Path], items: Path, truth: Path, pairs: Path) -> dict[str, Any]:
    """Items and truth of one split, apart from each other, from files in the published layout.

    Args:
        job: what the columns mean.
        files: the split's files.
        items: the set of items, without targets.
        truth: what is true of every item, as `cairn.bench.items_from_shards.make_items` writes it.
        pairs: an empty table: the layout has no pairs.

    Returns:
        Facts for the card: items and people.

    Raises:
        CairnError: for bad files, or a target that is none of the classes.
    """
    rows: list[dict[str, Any]] = []

    def kept() -> Iterator[Item]:
        for number, row in enumerate(read_published(files, job.published.slice_axis)):
            person = _text(row.extras.get(job.published.subject))
            # Without people, a row is one; its split in the name keeps it apart from the rows of the others.
            nobody = f"{job.published.split}-row{number:06d}"
            subject = "".join(c if c.isalnum() or c in "-_." else "-" for c in person) or nobody
            item = Item(subject, f"{number:06d}", row.item.image, row.item.mask, row.item.series_id, row.item.filename)
            rows.append({"subject": subject, "session": item.session, "truth": _truth(job.published, row)})
            yield item

    count = write_items(items, kept())
    write_json(truth, {"items": rows, "pairs": []})
    write_table(pairs, [], PAIR_COLUMNS)
    return {"items": count, "people": len({row["subject"] for row in rows})}


def _truth(published: PublishedSet, row: PublishedItem) -> dict[str, Any]:
    """What a row says: ``target``, a class's name where names are known; findings by name; further columns."""
    target, where = row.target, row.item.session
    lacking = [column for column in published.columns if column not in row.extras]
    if lacking:
        reason = f"{where}: lacks the column(s) {', '.join(lacking)}."
        raise CairnError(reason, f"It has {', '.join(row.extras)}: mend 'columns'.", "table")
    found = {name: row.extras[column] for column, name in published.columns.items()}
    if isinstance(target, list):
        if len(target) != len(published.classes):
            reason = f"{where}: target {target!r} is no list of {len(published.classes)} findings."
            raise CairnError(reason, "Name as many classes as it has findings.", "label")
        return found | dict(zip(published.classes, target, strict=True))
    if published.classes:
        target = published.classes[class_number(target, published.classes, where)]
    return found | {"target": target}
