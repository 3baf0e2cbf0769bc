"""Pictures of the kinds of task that exist on frozen features: survival curves, areas of findings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.evaluate.tables import RunCases
from cairn.report.sources import Sources
from cairn.report.style import MUTED, WIDTH_IN, Picture, canvas, clean, embed, looks, wrapped

Record = Mapping[str, Any]
Floats = npt.NDArray[np.float64]
DARK = 0.32  # so far from guessing the field is dark


def kaplan_meier(times: Floats, events: Floats) -> tuple[Floats, Floats]:
    """Share without the event (Kaplan & Meier 1958): times at which it falls, from 0, and the share from there on."""
    at, share, left = [0.0], [1.0], 1.0
    for t in np.unique(times[events == 1]):
        left *= 1.0 - ((times == t) & (events == 1)).sum() / (times >= t).sum()
        at.append(float(t))
        share.append(float(left))
    return np.array(at), np.array(share)


def high_risk(cases: RunCases) -> npt.NDArray[np.bool_]:
    """``[cases]``: the half of the test cases with the higher risk, ranks averaged over seeds; no risk is lowest."""
    from scipy.stats import rankdata

    ranks = rankdata(np.nan_to_num(cases.prediction, nan=-np.inf), axis=1).mean(axis=0)
    chosen = np.zeros(len(ranks), bool)
    chosen[np.argsort(-ranks, kind="stable")[: len(ranks) // 2]] = True
    return chosen


def survival_curves(sources: Sources, task: Record) -> Picture:
    """Survival of the halves of the test set with the higher and the lower predicted risk, a panel a run."""
    rows = sources.runs_of(task["name"])
    columns = min(2, len(rows))
    high = -(-len(rows) // columns)
    with canvas(WIDTH_IN, 2.4 * high, high, columns, sharex=True, sharey=True) as (figure, axes):
        for axis, row in zip(axes.flat, rows, strict=False):
            cases, (colour, _) = sources.cases[row["run"], task["name"]], looks(sources.rows)[row["run"]]
            chosen, end = high_risk(cases), float(cases.label.max())
            for half, style in ((chosen, "-"), (~chosen, "--")):
                at, share = kaplan_meier(cases.label[half], cases.events[half])
                axis.step(np.append(at, end), np.append(share, share[-1]), style, where="post", color=colour, lw=1.7)
                lost = cases.label[half & (cases.events == 0)]
                left = share[np.searchsorted(at, lost, side="right") - 1]
                axis.plot(lost, left, ls="", marker="|", ms=6, color=colour, alpha=0.6)
            axis.set_title(clean(wrapped(row["label"], 30)))
            axis.set(xlim=(0, end * 1.02), ylim=(0, 1.03))
        for axis in list(axes.flat)[len(rows) :]:
            axis.set_visible(False)
        figure.supxlabel("time", fontsize=9.5)
        figure.supylabel("share without the event", fontsize=9.5)
        source = embed(figure)
    return Picture(
        source, f"Survival by predicted risk for every run on {task['title']}",
        "Kaplan–Meier curves of the half of the test cases with the higher predicted risk (solid) and of the other "
        "half (dashed); ticks: censored cases. Solid should fall first; curves that cross tell nothing apart. Time is "
        "in the unit of the targets; ranks of the risk are averaged over seeds.",
    )  # fmt: skip


def finding_areas(sources: Sources, task: Record) -> Picture | None:
    """AUROC of every run and finding; None where none is defined."""
    metric = task["metrics"][0]["name"]
    found = [
        (row, row["scores"][task["name"]].get("classes", {}).get(metric, {})) for row in sources.runs_of(task["name"])
    ]
    names = list(dict.fromkeys(name for _, values in found for name in values))
    if not any(value["value"] is not None for _, values in found for value in values.values()):
        return None
    areas = np.array([[_area(values.get(name)) for name in names] for _, values in found])
    with canvas(WIDTH_IN, 1.3 + 0.34 * len(found)) as (figure, axes):
        axis = axes[0, 0]
        axis.imshow(areas, cmap="RdBu", vmin=0, vmax=1, aspect="auto", alpha=0.8)
        for y, x in np.ndindex(areas.shape):
            missing = bool(np.isnan(areas[y, x]))
            dark = "white" if abs(areas[y, x] - 0.5) > DARK else "black"
            text, colour = ("–", MUTED) if missing else (f"{areas[y, x]:.2f}", dark)
            axis.text(x, y, text, ha="center", va="center", fontsize=8, color=colour)
        axis.set_xticks(range(len(names)), [n.replace("_", " ") for n in names], rotation=35, ha="right", fontsize=8)
        axis.set_yticks(range(len(found)), [clean(wrapped(row["label"])) for row, _ in found])
        axis.spines[:].set_visible(False)
        source = embed(figure)
    return Picture(
        source, f"AUROC of every run and finding on {task['title']}",
        "AUROC of each finding, mean over seeds: white is guessing (0.5), blue better, red worse. –: the test set "
        "holds one class only. Intervals stand in the table below.",
    )  # fmt: skip


def _area(value: Record | None) -> float:
    return np.nan if value is None or value["value"] is None else float(value["value"])
