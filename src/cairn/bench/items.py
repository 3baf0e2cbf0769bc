"""Items: what a frozen encoder is shown. On disk a set of items knows no target; targets lie apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.bench.nested import from_nested, to_nested
from cairn.errors import CairnError
from cairn.io.atomic import atomic_path

COLUMNS = ("subject", "session", "series_id", "filename", "slices")
PAIR_COLUMNS = ("subject", "session", "moving", "fixed")
GROUP_BYTES = 16 << 20  # pixels of a row group: what a reader holds at once


@dataclass(frozen=True)
class Item:
    """One item: raw values in published orientation, slices first.

    ``session`` is unique within the subject; it may not tell the target, since every job sees it.
    """

    subject: str
    session: str
    image: npt.NDArray[np.float32]
    """``[H, W]`` or ``[S, H, W]``."""
    mask: npt.NDArray[np.bool_] | None = None
    """Of the same shape."""
    series_id: str = ""
    filename: str = ""

    @property
    def key(self) -> str:
        """``subject/session``."""
        return f"{self.subject}/{self.session}"

    @property
    def stack(self) -> npt.NDArray[np.float32]:
        """``[S, H, W]``; a flat item is one slice."""
        return self.image if self.image.ndim == 3 else self.image[None]

    @property
    def mask_stack(self) -> npt.NDArray[np.bool_] | None:
        """The mask as a `stack`."""
        return self.mask[None] if self.mask is not None and self.mask.ndim == 2 else self.mask


def check_item(image: npt.NDArray[Any], mask: npt.NDArray[Any] | None, where: str) -> None:
    """Refuse what no encoder should be shown.

    Raises:
        CairnError: for NaN or infinity, a mask of another shape or an empty one (code ``item``).
    """
    if not np.isfinite(image).all():
        raise CairnError(f"{where}: image holds NaN or infinity.", "Mend the file that it comes from.", "item")
    if mask is None:
        return
    if mask.shape != image.shape:
        reason = f"{where}: mask of shape {mask.shape}, but the image has {image.shape}."
        raise CairnError(reason, "A mask lies on the image's grid.", "item")
    if not mask.any():
        raise CairnError(f"{where}: mask is empty.", "An item of a task with masks shows something.", "item")


class ItemWriter:
    """Collects rows and writes row groups of bounded size; all items have 2 or all 3 axes, all or none a mask."""

    def __init__(self, file: Any, columns: list[tuple[str, Any]]) -> None:
        self.file, self.columns, self.pixels = file, columns, 0
        self.rows: list[dict[str, Any]] = []
        self.writer: Any = None

    def add(self, row: dict[str, Any]) -> None:
        """A row: ``image``, ``mask`` (or None) and the plain columns."""
        self.rows.append(row)
        self.pixels += 5 * row["image"].size
        if self.pixels >= GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is collected as one row group."""
        import pyarrow as pa
        from pyarrow import parquet

        if not self.rows:
            return
        ndims = {r["image"].ndim for r in self.rows}
        masked = {r["mask"] is not None for r in self.rows}
        if len(ndims) > 1 or len(masked) > 1:
            raise CairnError("Items of one set differ in axes or masks.", "Write one set for each.", "item")
        table = {name: pa.array([r[name] for r in self.rows], kind) for name, kind in self.columns}
        table["image"] = to_nested([np.asarray(r["image"], np.float32) for r in self.rows], pa.float32())
        if masked.pop():
            table["mask"] = to_nested([np.asarray(r["mask"], bool) for r in self.rows], pa.bool_())
        made = pa.table(table)
        if self.writer is None:
            self.writer = parquet.ParquetWriter(self.file, made.schema, compression="zstd")
        if made.schema != self.writer.schema:
            raise CairnError("Items of one set differ in axes or masks.", "Write one set for each.", "item")
        self.writer.write_table(made)
        self.rows, self.pixels = [], 0

    def close(self) -> None:
        """Finish the file; without a row it holds no row and no image column can be told, which is refused.

        Raises:
            CairnError: when there is no item (code ``no-items``).
        """
        self.flush()
        if self.writer is None:
            raise CairnError("No item.", "Check that the data set holds what the task asks for.", "no-items")
        self.writer.close()


def write_items(path: Path, items: Iterable[Item]) -> int:
    """Write a set of items, without any target; returns their number.

    Raises:
        CairnError: for a bad item, two items of one key, or none at all.
    """
    import pyarrow as pa

    seen: set[str] = set()
    with atomic_path(path) as temporary:
        writer = ItemWriter(temporary, [(n, pa.int32() if n == "slices" else pa.string()) for n in COLUMNS])
        for item in items:
            check_item(item.image, item.mask, f"item {item.key}")
            if item.key in seen:
                raise CairnError(
                    f"item {item.key} stands twice.", "Every item needs its own session name.", "duplicate"
                )
            seen.add(item.key)
            plain = {name: getattr(item, name) for name in COLUMNS[:-1]}
            writer.add({**plain, "slices": len(item.stack), "image": item.image, "mask": item.mask})
        writer.close()
    return len(seen)


def read_items(path: Path) -> Iterator[Item]:
    """Items of a set, one at a time; memory holds one row group.

    Raises:
        CairnError: when the file is missing or no set of items, or an item is bad.
    """
    for batch in batches(path, COLUMNS):
        masked = "mask" in batch.schema.names
        plain = {name: batch.column(name).to_pylist() for name in COLUMNS[:-1]}
        for row in range(batch.num_rows):
            where = f"{path}: {plain['subject'][row]}/{plain['session'][row]}"
            image = from_nested(batch.column("image"), row, f"{where}: image").astype(np.float32, copy=False)
            mask = from_nested(batch.column("mask"), row, f"{where}: mask").astype(bool, copy=False) if masked else None
            check_item(image, mask, where)
            yield Item(image=image, mask=mask, **{name: values[row] for name, values in plain.items()})


def batches(path: Path, columns: Iterable[str] = (), rows: int = 8) -> Iterator[Any]:
    """Record batches of a Parquet file, row group by row group.

    Raises:
        CairnError: when it is missing, unreadable, or lacks ``image`` or one of ``columns``.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
    except FileNotFoundError:
        raise CairnError(f"{path}: no such file.", "Run the stage that makes it.", code="missing") from None
    except (OSError, pa.ArrowInvalid) as error:
        raise CairnError(f"{path}: no readable Parquet ({error}).", "Get or make it again.", code="truncated") from None
    absent = [c for c in ("image", *columns) if c not in file.schema_arrow.names]
    if absent:
        there = ", ".join(file.schema_arrow.names)
        raise CairnError(f"{path}: lacks the column(s) {', '.join(absent)}.", f"It has {there}.", code="table")
    for group in range(file.num_row_groups):
        yield from file.iter_batches(batch_size=rows, row_groups=[group])
