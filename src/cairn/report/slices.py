"""Example slices of the test set with truth and prediction outlined; stripped volumes only, so never a face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.errors import CairnError
from cairn.evaluate.cases import OK, Key
from cairn.io.boxes import bounding_box
from cairn.io.geometry import mask_to_grid
from cairn.io.nifti import read_mask
from cairn.io.shard import Shard
from cairn.io.tables import LABEL_COLUMNS, PREDICTION_COLUMNS, SHARD_COLUMNS, read_table
from cairn.report.sources import Sources
from cairn.report.style import MUTED, PREDICTION, TRUTH, Picture, canvas, clean, embed, wrapped

Record = Mapping[str, Any]
Array = npt.NDArray[Any]
MAX_RUNS = 4


@dataclass(frozen=True)
class Example:
    """One test session, ready to be drawn: a slice, its outlines, and what each run scored."""

    title: str
    image: Array
    """``[Y, X]``, top is anterior, right is the patient's right."""
    truth: Array
    predictions: Sequence[tuple[str, Array | None]]
    """Words below each panel, and the run's mask (None where invalid)."""


def slices(sources: Sources, task: Record) -> Picture | None:
    """Best, median and worst case of the first run; None where no volume of the test set is given."""
    rows = sources.runs_of(task["name"])[:MAX_RUNS]
    if task["kind"] != "segmentation" or not rows:
        return None
    shards = _shards(sources.shards, task["cohort"])
    labels, folder = _labels(sources.labels, task["cohort"])
    examples = []
    usable = {k for k in set(shards) & set(labels) if read_mask(folder / labels[k]["mask"]).any()}
    for title, position in _choose(sources, rows[0]["run"], task["name"], usable):
        example = _example(sources, rows, task["name"], position, title, (shards, labels, folder))
        if example is not None:
            examples.append(example)
    return _draw(examples, [r["label"] for r in rows]) if examples else None


def _shards(indexes: Sequence[Path], cohort: str) -> dict[Key, Path]:
    found = {}
    for index in indexes:
        if index.parent.name == cohort:
            shard = index.with_name(index.name.replace(".index.tsv", ".safetensors"))
            found.update({(r["subject"], r["session"]): shard for r in read_table(index, SHARD_COLUMNS)})
    return found


def _labels(tables: Sequence[Path], cohort: str) -> tuple[dict[Key, dict[str, str]], Path]:
    for table in tables:
        if table.parent.name == cohort:
            return {(r["subject"], r["session"]): r for r in read_table(table, LABEL_COLUMNS)}, table.parent
    return {}, Path()


def _choose(sources: Sources, run: str, task: str, usable: set[Key]) -> list[tuple[str, int]]:
    """Positions of the best, the median and the worst case among the usable: with a volume, and with a lesion."""
    cases = sources.cases[run, task]
    order = [int(i) for i in np.argsort(-cases.dice.mean(axis=0), kind="stable") if cases.keys[int(i)] in usable]
    names = ("best", "median", "worst")
    picks = [0, len(order) // 2, len(order) - 1] if len(order) > 2 else range(len(order))
    return [(names[n], order[i]) for n, i in enumerate(picks)]


def _example(
    sources: Sources, rows: Sequence[Record], task: str, position: int, title: str, where: tuple[Any, Any, Path]
) -> Example | None:
    shards, labels, folder = where
    key = sources.cases[rows[0]["run"], task].keys[position]
    shard, sequence = Shard(shards[key]), labels[key]["mask_sequence"]
    name = "/".join(key)
    if name not in shard.sessions or sequence not in shard.geometry(name).sequences:
        return None
    geometry = shard.geometry(name)
    truth = mask_to_grid(read_mask(folder / labels[key]["mask"]), geometry, sequence)
    brain = shard.mask(name)
    volume = np.where(brain, shard.volume(name, sequence), np.nan)
    depth = int(np.argmax((truth if truth.any() else brain).sum(axis=(0, 1))))
    box = _box(brain | truth)
    masks = [_prediction(sources, r["run"], task, position) for r in rows]
    carried = [None if m is None else mask_to_grid(m, geometry, sequence) for m in masks]
    words = [_words(sources, r["run"], task, position) for r in rows]
    return Example(
        f"{title} case\nsub-{key[0]}", _slice(volume, box, depth), _slice(truth, box, depth),
        [(w, None if c is None else _slice(c, box, depth)) for w, c in zip(words, carried, strict=True)],
    )  # fmt: skip


def _prediction(sources: Sources, run: str, task: str, position: int) -> Array | None:
    """The first seed's mask; None where it is invalid."""
    cases = sources.cases[run, task]
    table = sources.predictions.get((run, task, cases.seeds[0]))
    if table is None or cases.status[0][position] != OK:
        return None
    for row in read_table(table, PREDICTION_COLUMNS):
        if (row["subject"], row["session"]) == cases.keys[position]:
            try:
                return read_mask(table.parent / row["mask"])
            except CairnError:
                return None
    return None


def _words(sources: Sources, run: str, task: str, position: int) -> str:
    cases = sources.cases[run, task]
    status = cases.status[0][position]
    return f"Dice {cases.dice[0, position]:.2f}" if status == OK else wrapped(f"invalid: {status[:40]}", 22)


def _box(mask: Array) -> tuple[slice, slice]:
    """The mask's box in the first two axes, with a margin of two voxels."""
    low, high = bounding_box(mask)
    x, y = (slice(max(0, low[axis] - 2), high[axis] + 2) for axis in (0, 1))
    return x, y


def _slice(volume: Array, box: tuple[slice, slice], depth: int) -> Array:
    return np.rot90(volume[box[0], box[1], depth])


def _draw(examples: Sequence[Example], labels: Sequence[str]) -> Picture:
    columns = len(labels)
    aspect = float(np.mean([e.image.shape[0] / e.image.shape[1] for e in examples]))
    width = 2.1 * columns + 0.9
    with canvas(width, (2.1 * aspect + 0.35) * len(examples) + 0.5, len(examples), columns) as (figure, axes):
        for number, (line, example) in enumerate(zip(axes, examples, strict=True)):
            for axis, label, (words, mask) in zip(line, labels, example.predictions, strict=True):
                _panel(axis, example, mask)
                axis.set_xlabel(words, color=MUTED, fontsize=9)
                if number == 0:
                    axis.set_title(clean(wrapped(label, 22)), loc="center")
            line[0].set_ylabel(example.title, fontsize=9, rotation=0, ha="right", va="center")
        source = embed(figure, "png", 130)
    return Picture(
        source, "Axial slices of test cases with true and predicted outlines",
        f"Largest slice of the best, the median and the worst test case of “{labels[0]}”, first seed. Teal: truth. "
        "Orange, dashed: prediction. Only the stripped brain is shown; the patient's right is on the right.",
        wide=True,
    )  # fmt: skip


def _panel(axis: Any, example: Example, mask: Array | None) -> None:
    inside = example.image[np.isfinite(example.image)]
    low, high = np.percentile(inside, [1, 99.5]) if len(inside) else (0.0, 1.0)
    axis.imshow(
        np.where(np.isfinite(example.image), example.image, low),
        cmap="gray",
        vmin=low,
        vmax=high,
        interpolation="bilinear",
    )
    for outline, colour, style in ((example.truth, TRUTH, "solid"), (mask, PREDICTION, "dashed")):
        if outline is not None and outline.any():
            axis.contour(outline.astype(float), levels=[0.5], colors=colour, linewidths=1.4, linestyles=style)
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set_visible(False)
