"""Few-shot curves: a metric against the share of the training set that the head was fitted on, a panel a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cairn.evaluate.tables import SEED_MEAN
from cairn.report.sources import Sources
from cairn.report.style import RULE, Picture, canvas, clean, embed, looks
from cairn.report.words import heading

Record = Mapping[str, str]
COLUMNS, PANEL_IN = 3, (2.7, 2.2)
LONGEST = 4  # digits of a number of items that ticks have room for
DODGE = 1.05  # runs stand side by side, so that their bars can be told apart


def few_shot_curves(sources: Sources) -> Picture | None:
    """One small panel a task; None where no curve was given."""
    rows = sources.few_shot
    tasks = list(dict.fromkeys((r["task"], r["metric"]) for r in rows))
    if not tasks:
        return None
    columns = min(COLUMNS, len(tasks))
    high = -(-len(tasks) // columns)
    runs = [r["run"] for r in sources.rows if any(row["run"] == r["run"] for row in rows)]
    shares = sorted({float(r["share"]) for r in rows})
    with canvas(PANEL_IN[0] * columns + 0.3, PANEL_IN[1] * high + 0.7, high, columns) as (figure, axes):
        for axis, (task, metric) in zip(axes.flat, tasks, strict=False):
            own = {run: [r for r in rows if (r["run"], r["task"], r["metric"]) == (run, task, metric)] for run in runs}
            here = [run for run in runs if own[run]]
            for i, run in enumerate(here):
                _line(axis, own[run], DODGE ** (i - (len(here) - 1) / 2), *looks(sources.rows)[run])
            axis.set_title(clean(_title(sources, task)), fontweight="bold")
            axis.set(xscale="log", ylabel=_metric(sources, task, metric))
            sizes = _sizes([r for run in here for r in own[run]])
            axis.set_xlabel("share of the training set (%)" + ("\nand its items" if sizes else ""))
            axis.set_xticks(shares, [f"{100 * s:g}" + (f"\n{sizes.get(s, '')}" if sizes else "") for s in shares])
            axis.minorticks_off()
            axis.grid(axis="y", color=RULE, lw=0.6)
        for axis in list(axes.flat)[len(tasks) :]:
            axis.set_visible(False)
        shown = {(r["label"], looks(sources.rows)[r["run"]]): None for r in sources.rows if r["run"] in runs}
        handles = [_key(axes.flat[0], *look) for _, look in shown]
        figure.legend(
            handles, [clean(label) for label, _ in shown], loc="outside lower center", ncols=min(4, len(shown))
        )
        source = embed(figure)
    return Picture(
        source, "Few-shot curves of every run, task by task",
        "How to read this: the metric on the whole test set when the head is fitted on a part of the training set; a "
        "smaller part lies within a larger one. Line: mean over draws of the part, with the encoder of the first seed; "
        "bar: interval over test cases where one was given for the mean, else the range of draws. Below a share: how "
        "many items the head was fitted on, on average over draws; shares that come to the same items have one point, "
        "at the largest of them. A curve that rises early has features that need few "
        "labels; where bars overlap, runs are not told apart.",
        wide=columns == COLUMNS,
    )  # fmt: skip


def points(rows: Sequence[Record]) -> list[tuple[float, float, float, float]]:
    """Share, value, low and high of one run on one task, by share; undefined values are left out.

    The row of the mean over draws (column ``seed`` -1) is taken with its interval; without one, the mean and range of
    the rows.
    """
    found = []
    for share in sorted({float(r["share"]) for r in rows}):
        here = [r for r in rows if float(r["share"]) == share and _number(r["value"]) is not None]
        mean = [r for r in here if r["seed"] == str(SEED_MEAN)]
        values = [float(r["value"]) for r in mean or here]
        if not values:
            continue
        low, high = (_number(mean[0][name]) if mean else None for name in ("ci_low", "ci_high"))
        bounds = (min(values) if low is None else low, max(values) if high is None else high)
        found.append((share, float(np.mean(values)), *bounds))
    return found


def _sizes(rows: Sequence[Record]) -> dict[float, str]:
    """Items behind each share, as words; empty where runs differ in them, or a number is too long for its tick."""
    found = {(float(r["share"]), r["n"]) for r in rows}
    sizes = dict(found)
    fits = len(sizes) == len(found) and all(len(n) <= LONGEST for n in sizes.values())
    return sizes if fits else {}


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _line(axis: Any, rows: Sequence[Record], shift: float, colour: str, marker: str) -> None:
    found = points(rows)
    if not found:
        return
    share, value, low, high = (np.array(column) for column in zip(*found, strict=True))
    share = share * shift
    axis.vlines(share, low, high, color=colour, lw=1.2, alpha=0.45)
    axis.plot(share, value, color=colour, marker=marker, ms=4, lw=1.5)


def _key(axis: Any, colour: str, marker: str) -> Any:
    """A line for the legend."""
    return axis.plot([], [], color=colour, marker=marker, ms=4, lw=1.5)[0]


def _title(sources: Sources, task: str) -> str:
    return {t["name"]: str(t["title"]) for t in sources.tasks}.get(task, task.replace("_", " ").capitalize())


def _metric(sources: Sources, task: str, metric: str) -> str:
    known = {(t["name"], m["name"]): heading(m) for t in sources.tasks for m in t["metrics"]}
    return clean(known.get((task, metric), metric.replace("_", " ")))
