"""How stable the ranking is, as challengeR draws it (Wiesenfarth et al. 2021): blobs, tau, tests, ways to rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cairn.evaluate.stability import TAU_EDGES
from cairn.report.sources import Sources
from cairn.report.style import INK, MUTED, RULE, WIDE_IN, WIDTH_IN, Picture, canvas, clean, embed, looks, wrapped

Record = Mapping[str, Any]
BLOB_PT = 17.0  # diameter of a blob that holds every resample, in points
MANY = 10  # more runs than this get panels of the figure's full width
LINE = 22
"""Most letters of a label on a line."""
METHOD_LABELS = tuple(f"{way}\nties: {ties}" for way in ("mean → rank", "rank → mean") for ties in ("best", "mean"))


def stability_plots(sources: Sources) -> list[Picture]:
    """All figures, track by track; none where fewer than two runs are ranked."""
    found = []
    for name, track in sources.stability.get("tracks", {}).items():
        several = len(sources.stability["tracks"]) > 1
        of_track = f" ({sources.title_of(name)})" if several else ""
        said = f"{sources.title_of(name)}. " if several else ""
        drawn = [_blobs(sources, track), _taus(sources, track), _tests(sources, track), _methods(sources, track)]
        found += [Picture(p.source, p.alt + of_track, said + p.caption, p.wide) for p in drawn if p is not None]
    return found


def _title(sources: Sources, panel: str) -> str:
    return {t["name"]: str(t["title"]) for t in sources.tasks}.get(panel, "Overall")


def _label(sources: Sources, run: str, lines: int = 2) -> str:
    """Label of a run on one line or two, cut where it is longer."""
    label = str(next(r["label"] for r in sources.rows if r["run"] == run))
    return clean(wrapped(label if len(label) <= lines * LINE else label[: lines * LINE - 1] + "…", LINE))


def _order(runs: Sequence[str], places: Mapping[str, Record]) -> list[str]:
    """Runs by their place on all cases."""
    return sorted(runs, key=lambda run: int(places[run]["full"]))


def _blobs(sources: Sources, track: Record) -> Picture | None:
    """Places of every run in the resamples: the larger the blob, the more often."""
    panels = [p for p in track["panels"] if p["tau"] is not None]
    if not panels:
        return None
    many = len(track["runs"])
    columns = 2 if many <= MANY else 1
    high = -(-len(panels) // columns)
    with canvas(WIDE_IN, high * (1.6 + 0.26 * many), high, columns) as (figure, axes):
        for axis, panel in zip(axes.flat, panels, strict=False):
            order = _order(track["runs"], panel["places"])
            for x, run in enumerate(order):
                _blob(axis, x, panel["places"][run], looks(sources.rows)[run][0])
            axis.plot([-0.4, many - 0.6], [0.6, many + 0.4], color=RULE, lw=0.8, zorder=0)
            axis.set(xlim=(-0.6, many - 0.4), ylim=(many + 0.6, 0.4), yticks=range(1, many + 1), ylabel="place")
            labels = [_label(sources, r, lines=2 if columns == 2 else 1) for r in order]
            axis.set_xticks(range(many), labels, rotation=35, ha="right", rotation_mode="anchor")
            axis.set_title(clean(_title(sources, panel["name"])), fontweight="bold")
        for axis in list(axes.flat)[len(panels) :]:
            axis.set_visible(False)
        source = embed(figure)
    level = f"{sources.stability['confidence']:.0%}"
    return Picture(
        source, "Places of every run when the test cases are drawn anew",
        "How to read this: runs from left to right by their place; above each, blobs as large as the share of "
        f"{sources.stability['resamples']:,} draws of test cases in which it takes that place. Cross: median place; "
        f"line: {level} interval. One blob a run, on the diagonal, is a settled order; a column of blobs is not.",
        wide=True,
    )  # fmt: skip


def _blob(axis: Any, x: int, place: Record, colour: str) -> None:
    share = np.array(place["share"])
    taken = np.flatnonzero(share > 0)
    axis.scatter([x] * len(taken), taken + 1, s=share[taken] * BLOB_PT**2, color=colour, alpha=0.75, lw=0)
    axis.plot([x, x], [place["low"], place["high"]], color=INK, lw=1)
    axis.plot([x], [place["median"]], marker="x", color=INK, ms=6, mew=1.3)


def _taus(sources: Sources, track: Record) -> Picture | None:
    """Kendall's tau between each resample's ranking and the ranking on all cases, as a half violin a task."""
    panels = [p for p in track["panels"] if p["tau"] is not None]
    if not panels:
        return None
    middle = (TAU_EDGES[1:] + TAU_EDGES[:-1]) / 2
    with canvas(WIDTH_IN, 0.9 + 0.55 * len(panels)) as (figure, axes):
        axis = axes[0, 0]
        for y, panel in enumerate(panels):
            tau, share = panel["tau"], np.array(panel["tau"]["share"])
            axis.bar(middle, -0.72 * share / share.max(), width=np.diff(TAU_EDGES), bottom=y, color="#9db8cc", lw=0)
            axis.plot([tau["low"], tau["high"]], [y + 0.09] * 2, color=INK, lw=1.4, solid_capstyle="round")
            axis.plot([tau["median"]], [y + 0.09], marker="x", color=INK, ms=6, mew=1.3)
        reach = [float(TAU_EDGES[np.flatnonzero(p["tau"]["share"])[0]]) for p in panels]
        axis.set(xlim=(min(-0.05, *reach), 1.03), ylim=(len(panels) - 0.6, -0.85), xlabel="Kendall's tau")
        axis.set_yticks(range(len(panels)), [clean(wrapped(_title(sources, p["name"]))) for p in panels])
        axis.grid(axis="x", color=RULE, lw=0.6)
        axis.set_axisbelow(True)
        axis.spines["left"].set_visible(False)
        source = embed(figure)
    level = f"{sources.stability['confidence']:.0%}"
    return Picture(
        source, "Kendall's tau between rankings of resampled test cases and the full ranking",
        "How to read this: how far the ranking on newly drawn test cases agrees with the one above: 1 is the same "
        f"order, 0 none in common, −1 the reverse. Bars: share of the draws; cross: median; line: {level} interval.",
    )  # fmt: skip


def _tests(sources: Sources, track: Record) -> Picture | None:
    """Which run is better than which in each metric, by the paired tests after Holm's correction."""
    tested = {(p["task"], p["metric"]) for p in sources.board["pairs"] if p["p_holm"] is not None}
    own = {panel["name"] for panel in track["panels"]}
    tasks = [t for t in sources.tasks if t["name"] in own]
    panels = [(t, m) for t in tasks for m in t["metrics"] if (t["name"], m["name"]) in tested]
    if not panels:
        return None
    order = [r["run"] for r in sources.rows if r["run"] in track["runs"]]
    columns = min(3 if len(order) <= MANY else 2, len(panels))
    high, many = -(-len(panels) // columns), len(order)
    side = max(1.3, 0.28 * many)
    with canvas(1.9 + columns * (side + 0.25), 0.3 + high * (side + 0.7), high, columns, sharey=True) as (figure, axes):
        for axis, (task, metric) in zip(axes.flat, panels, strict=False):
            _matrix(axis, sources, order, task["name"], metric["name"])
            axis.set_title(clean(f"{task['title']}\n{metric['title']}"), fontsize=8.5)
            axis.set_xticks(range(many), [str(i + 1) for i in range(many)], fontsize=7.5)
        for axis in axes[:, 0]:
            rows = [f"{_label(sources, r)}  {i + 1}" for i, r in enumerate(order)]
            axis.set_yticks(range(many), rows, fontsize=7.5, linespacing=0.9)
        for axis in list(axes.flat)[len(panels) :]:
            axis.set_visible(False)
        source = embed(figure)
    return Picture(
        source, "Map of significant differences between runs",
        "How to read this: filled where the run of the row is better than the run of the column (paired permutation "
        f"test, Holm-corrected within the metric, p < {sources.board['evaluate']['significance']}); dot: no difference "
        "told. Columns bear the numbers of the rows. Runs stand by their overall place, so a clear order fills the "
        "upper right.",
        wide=many > MANY,
    )  # fmt: skip


def _matrix(axis: Any, sources: Sources, order: Sequence[str], task: str, metric: str) -> None:
    level, many = sources.board["evaluate"]["significance"], len(order)
    for pair in sources.board["pairs"]:
        if (pair["task"], pair["metric"]) != (task, metric) or not {pair["a"], pair["b"]} <= set(order):
            continue
        a, b = order.index(pair["a"]), order.index(pair["b"])
        if pair["p_holm"] is not None and pair["p_holm"] < level and pair["difference"]:
            row, column = (a, b) if pair["difference"] > 0 else (b, a)
            colour = looks(sources.rows)[order[row]][0]
            axis.fill_between([column - 0.46, column + 0.46], row - 0.46, row + 0.46, color=colour, lw=0)
        else:
            axis.plot([a, b], [b, a], ls="", marker=".", color=MUTED, ms=3)
    axis.plot([-0.5, many - 0.5], [-0.5, many - 0.5], color=RULE, lw=0.8)
    axis.set(xlim=(-0.5, many - 0.5), ylim=(many - 0.5, -0.5), aspect="equal")
    axis.spines[["top", "right"]].set_visible(True)


def _methods(sources: Sources, track: Record) -> Picture:
    """Places under other ways to rank, a line a run."""
    places, many = track["methods"]["places"], len(track["runs"])
    high = -(-len(places) // 2)
    with canvas(WIDE_IN, high * (1.2 + 0.24 * many) + 0.5, high, 2, sharex=True) as (figure, axes):
        for axis, (name, runs) in zip(axes.flat, places.items(), strict=False):
            for run, found in runs.items():
                colour, marker = looks(sources.rows)[run]
                shift = (track["runs"].index(run) - (many - 1) / 2) * min(0.05, 0.3 / many)
                axis.plot(np.arange(len(found)) + shift, found, color=colour, marker=marker, ms=6, lw=1.6, alpha=0.85)
            axis.set(ylim=(many + 0.4, 0.6), yticks=range(1, many + 1), ylabel="place")
            axis.set_xticks(range(len(METHOD_LABELS)), METHOD_LABELS)
            axis.set_title(clean(_title(sources, name)), fontweight="bold")
            axis.grid(axis="y", color=RULE, lw=0.6)
        for axis in list(axes.flat)[len(places) :]:
            axis.set_visible(False)
        labels = [clean(r["label"]) for run in track["runs"] for r in sources.rows if r["run"] == run]
        lines = dict(zip(next(iter(places.values())), axes.flat[0].lines, strict=True))
        figure.legend([lines[run] for run in track["runs"]], labels, loc="outside lower center", ncols=min(3, many))
        source = embed(figure)
    return Picture(
        source, "Places of every run under four ways to rank",
        "How to read this: level lines are places that do not hang on the rule. Left, this leaderboard's own: metrics "
        "are averaged over cases and then ranked, equal runs sharing the best rank; next, sharing the mean rank. "
        "Right, each case ranks the runs (Dice, NSD, error, accuracy) and the ranks are averaged; metrics that no "
        "single case has, such as AUROC and r, stay as they are.",
        wide=True,
    )  # fmt: skip
