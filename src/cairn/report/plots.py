"""One picture a kind of task: ROC curves, per-case overlap, predicted against true age."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.evaluate.cases import OK
from cairn.evaluate.resampling import resample_counts
from cairn.evaluate.tables import RunCases
from cairn.report.frozen_plots import finding_areas, survival_curves
from cairn.report.sources import Sources
from cairn.report.style import MUTED, RULE, WIDE_IN, WIDTH_IN, Picture, canvas, clean, embed, looks, wrapped

Record = Mapping[str, Any]
Floats = npt.NDArray[np.float64]
Draw = Callable[[Sources, Record], Picture | None]
BAND_RESAMPLES = 300
FPR = np.linspace(0.0, 1.0, 101)
FEW_CLASSES, SOME_CLASSES = 6, 14
"""Confusion matrices of more than a few classes take the figure's full width, and smaller type; of more than some, each
panel takes it, and numbers have no room.
"""
LEAST_PERCENT = 1
"""Of a class told as another; less is left empty, for what is there to be seen."""
LETTER_IN = 0.068  # of a class's name, on average


def task_plot(sources: Sources, task: Record) -> Picture | None:
    """The picture of a task; None where no run has results, or (ROC) a class is missing."""
    draw: Draw = {
        "classification": _roc, "segmentation": _overlap, "regression": _ages, "probe": _confusion,
        "survival": survival_curves, "findings": finding_areas, "registration": _overlap,
    }[task["kind"]]  # fmt: skip
    return draw(sources, task) if sources.runs_of(task["name"]) else None


def roc_curve(cases: RunCases, counts: npt.NDArray[Any]) -> Floats:
    """Sensitivity at `FPR`, mean over seeds, of each resample: ``[R, 101]``; resamples of one class are left out."""
    positive = cases.label == 1
    curves = []
    for row in counts:
        p, n = (row * positive).sum(), (row * ~positive).sum()
        if p and n:
            curves.append(np.mean([_sensitivity(s, positive, row, p, n) for s in cases.prediction], axis=0))
    return np.array(curves).reshape(-1, len(FPR))


def _sensitivity(scores: Floats, positive: Any, counts: Any, p: int, n: int) -> Floats:
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # ties move together
    tpr = np.cumsum((counts * positive)[order])[ends] / p
    fpr = np.cumsum((counts * ~positive)[order])[ends] / n
    return np.asarray(np.interp(FPR, np.append(0.0, fpr), np.append(0.0, tpr)))


def _grid(count: int, most: int = 2) -> tuple[int, int]:
    """Rows and columns of panels, at most so many columns."""
    columns = min(most, count)
    return -(-count // columns), columns


def _roc(sources: Sources, task: Record) -> Picture | None:
    rows = sources.runs_of(task["name"])
    first = sources.cases[rows[0]["run"], task["name"]]
    if len(np.unique(first.label)) < 2:
        return None
    counts = resample_counts(first.subjects, BAND_RESAMPLES, task["name"], first.cohort, 0)
    once = np.ones((1, len(first.keys)), np.int64)
    curves = {r["run"]: roc_curve(sources.cases[r["run"], task["name"]], once)[0] for r in rows}
    high, columns = _grid(len(rows))
    with canvas(WIDTH_IN, 2.75 * high, high, columns, sharex=True, sharey=True) as (figure, axes):
        for axis, row in zip(axes.flat, rows, strict=False):
            colour, _ = looks(sources.rows)[row["run"]]
            for other in curves.values():
                axis.plot(FPR, other, color=RULE, lw=1)
            band = roc_curve(sources.cases[row["run"], task["name"]], counts)
            if len(band):
                low, top = np.percentile(band, [2.5, 97.5], axis=0)
                axis.fill_between(FPR, low, top, color=colour, alpha=0.15, lw=0)
            axis.plot([0, 1], [0, 1], color=MUTED, lw=0.7, ls=":")
            axis.plot(FPR, curves[row["run"]], color=colour, lw=1.8)
            axis.set_title(clean(wrapped(row["label"], 30)))
            axis.set(xlim=(0, 1), ylim=(0, 1.01), aspect="equal", xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        _frame(figure, axes, len(rows), "1 − specificity", "sensitivity")
        source = embed(figure)
    return Picture(
        source, f"ROC curve of every run on {task['title']}",
        "ROC curve, mean over seeds, with the 95% band over test cases; grey: the other runs; dotted: chance.",
    )  # fmt: skip


def _frame(figure: Any, axes: Any, used: int, x: str, y: str) -> None:
    for axis in list(axes.flat)[max(0, used - axes.shape[1]) : used]:
        axis.tick_params(labelbottom=True)  # the lowest of each column, where the last row is not full
    for axis in list(axes.flat)[used:]:
        axis.set_visible(False)
    figure.supxlabel(x, fontsize=9.5)
    figure.supylabel(y, fontsize=9.5)


def _overlap(sources: Sources, task: Record) -> Picture:
    rows = sources.runs_of(task["name"])
    with canvas(WIDTH_IN, 0.9 + 0.62 * len(rows)) as (figure, axes):
        axis = axes[0, 0]
        for y, row in enumerate(rows):
            values = sources.cases[row["run"], task["name"]].dice.mean(axis=0)
            colour, marker = looks(sources.rows)[row["run"]]
            axis.plot(values, y + _beeswarm(values), ls="", marker=marker, ms=4.5, color=colour, alpha=0.55, mew=0)
            axis.plot([values.mean()] * 2, [y - 0.36, y + 0.36], color=colour, lw=1.6)
        axis.set(xlim=(-0.03, 1.03), ylim=(len(rows) - 0.4, -0.6), xlabel="Dice of each test case (mean over seeds)")
        axis.set_yticks(range(len(rows)), [clean(wrapped(r["label"])) for r in rows])
        axis.grid(axis="x", color=RULE, lw=0.6)
        axis.spines["left"].set_visible(False)
        source = embed(figure)
    return Picture(
        source, f"Dice of each test case for every run on {task['title']}",
        "Every dot is a pair of scans, its Dice the mean over the structures after the warp; the line is the mean."
        if task["kind"] == "registration" else
        "Every dot is a test case; the line is the mean. Dots at 0 are lesions that were missed wholly.",
    )  # fmt: skip


def _beeswarm(values: Floats) -> Floats:
    """Offsets that part dots of similar value, without chance."""
    bins = np.round(values * 40).astype(int)
    offset = np.zeros(len(values))
    for b in np.unique(bins):
        inside = np.flatnonzero(bins == b)
        steps = np.arange(len(inside)) - (len(inside) - 1) / 2
        offset[inside] = steps * min(0.09, 0.6 / max(1, len(inside)))
    return offset


def _confusion(sources: Sources, task: Record) -> Picture:
    rows = sources.runs_of(task["name"])
    first = sources.cases[rows[0]["run"], task["name"]]
    names = [clean(name.removeprefix("p_").replace("_", " ")) for name in first.parts]
    many = len(names) > FEW_CLASSES
    width, columns = (WIDE_IN, 3 if len(names) <= SOME_CLASSES else 1) if many else (WIDTH_IN, 2)
    high, columns = _grid(len(rows), columns)
    room = 0.5 + LETTER_IN * max(map(len, names))
    side = (width - room) / columns
    size, cell_pt = (width, 0.3 + room + high * (side + 0.3)), 72 * side / len(names)
    type_pt = min(8.0, 0.8 * cell_pt)
    slanted: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    turned = slanted if len(names) <= SOME_CLASSES else {"rotation": 90}
    with canvas(*size, high, columns, sharex=True, sharey=True) as (figure, axes):
        for axis, row in zip(axes.flat, rows, strict=False):
            _percents(axis, confusion(sources.cases[row["run"], task["name"]]), 6.5 if many else 8, cell_pt)
            axis.set_title(clean(wrapped(row["label"], round(side / 0.085))), fontsize=9)
            axis.set_xticks(range(len(names)), names, fontsize=type_pt, **turned)
            axis.set_yticks(range(len(names)), names, fontsize=type_pt)
        _frame(figure, axes, len(rows), "most probable class", "true class")
        source = embed(figure)
    return Picture(
        source, f"Confusion matrix of every run on {task['title']}",
        "How to read this: of each true class (lines), how many percent are told as each class (columns), mean over "
        "seeds; darker is more, the diagonal is right. "
        + ("Empty: none, or below half a percent." if len(names) <= SOME_CLASSES else "Numbers have no room."),
        wide=many,
    )  # fmt: skip


def _percents(axis: Any, share: Floats, size_pt: float, cell_pt: float) -> None:
    """A confusion matrix, in whole percents where three digits have room."""
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if cell_pt < 2 * size_pt:
        return
    percent = np.rint(100 * share)
    for y, x in np.argwhere(percent >= LEAST_PERCENT):
        colour = "white" if share[y, x] > 0.6 else "black"
        axis.text(x, y, f"{percent[y, x]:.0f}", ha="center", va="center", fontsize=size_pt, color=colour)


def confusion(cases: RunCases) -> Floats:
    """Share of each true class told as each class, ``[K, K]``, mean over seeds; NaN for a class without cases."""
    k = len(cases.parts)
    found = np.zeros((k, k))
    for row in cases.prediction:
        np.add.at(found, (cases.label.astype(int), row.astype(int)), 1.0)
    total = found.sum(axis=1, keepdims=True)
    return np.where(total > 0, found / np.maximum(total, 1), np.nan)


def _ages(sources: Sources, task: Record) -> Picture:
    rows = sources.runs_of(task["name"])
    high, columns = _grid(len(rows))
    with canvas(WIDTH_IN, 2.75 * high, high, columns, sharex=True, sharey=True) as (figure, axes):
        for axis, row in zip(axes.flat, rows, strict=False):
            _age_panel(axis, sources.cases[row["run"], task["name"]], looks(sources.rows)[row["run"]])
            axis.set_title(clean(wrapped(row["label"], 30)))
        _frame(figure, axes, len(rows), "true age (years)", "predicted age (years)")
        source = embed(figure)
    return Picture(
        source, f"Predicted against true value for every run on {task['title']}",
        "Predicted against true age: dots are means over seeds, thin lines reach from the lowest to the highest seed. "
        "Dotted: no error. Sessions with an invalid prediction are not drawn (they count as 100 years off).",
    )  # fmt: skip


def _age_panel(axis: Any, cases: RunCases, look: tuple[str, str]) -> None:
    colour, marker = look
    valid = np.array([all(row[i] == OK for row in cases.status) for i in range(len(cases.keys))], bool)
    truth, predicted = cases.label[valid], cases.prediction[:, valid]
    low, top = float(cases.label.min()), float(cases.label.max())
    axis.plot([low, top], [low, top], color=MUTED, lw=0.8, ls=":")
    if not valid.any():
        axis.text(0.5, 0.5, "no valid prediction", transform=axis.transAxes, ha="center", color=MUTED)
        return
    axis.vlines(truth, predicted.min(axis=0), predicted.max(axis=0), color=colour, lw=0.8, alpha=0.45)
    axis.plot(truth, predicted.mean(axis=0), ls="", marker=marker, ms=4, color=colour, alpha=0.8, mew=0)
