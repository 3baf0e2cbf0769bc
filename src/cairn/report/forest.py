"""Forest plots: a point and an interval a run, for ranks and for metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cairn.report.sources import Sources
from cairn.report.style import MUTED, RULE, WIDTH_IN, Picture, as_bytes, canvas, clean, embed, looks, wrapped
from cairn.report.words import heading, number, standing

Record = Mapping[str, Any]


def rank_forest(sources: Sources, track: str) -> Picture | None:
    """Overall ranks of a track with intervals; None where nobody is ranked."""
    rows = [r for r in sources.rows if r["overall"] and r["track"] == track]
    if not rows:
        return None
    with canvas(WIDTH_IN + 0.6, 0.9 + 0.46 * len(rows)) as (figure, axes):
        _ranks(axes[0, 0], rows, looks(sources.rows))
        _names(axes[0, 0], rows)
        source = embed(figure)
    level = f"{sources.board['evaluate']['confidence']:.0%}"
    of_track = f" in {sources.title_of(track)}" if len({r["track"] for r in sources.rows}) > 1 else ""
    return Picture(
        source, f"Overall rank of every run{of_track} with its interval",
        f"Overall rank{of_track} (1 is best) and its {level} interval when the test cases are drawn anew. Where "
        "intervals overlap, the order is not settled. Beside each run, the share of draws in which it ranks first.",
        wide=True,
    )  # fmt: skip


def _ranks(axes: Any, rows: Sequence[Record], look: Mapping[str, tuple[str, str]], shares: bool = True) -> None:
    for y, row in enumerate(rows):
        if row["overall"] is None:
            axes.text(1, y, "not ranked", va="center", color=MUTED, fontsize=8.5)
            continue
        colour, marker = look[row["run"]]
        value = row["overall"]
        axes.plot([value["low"], value["high"]], [y, y], color=colour, lw=2.4, solid_capstyle="round", alpha=0.55)
        axes.plot([value["value"]], [y], marker=marker, color=colour, ms=7)
        if shares:
            text = f"{row['first_share']:.0%}"
            axes.annotate(text, (1.01, y), xycoords=("axes fraction", "data"), va="center", color=MUTED, fontsize=8.5)
    count = max(2, sum(r["overall"] is not None for r in rows))
    axes.set_xlim(0.8, max([count] + [r["overall"]["high"] for r in rows if r["overall"]]) + 0.2)
    axes.set_xticks(range(1, count + 1))
    axes.set_xlabel("overall rank")
    _lines(axes, rows)


def _lines(axes: Any, rows: Sequence[Record]) -> None:
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)))
    axes.set_axisbelow(True)
    axes.grid(axis="x", color=RULE, lw=0.6)
    axes.spines["left"].set_visible(False)


def _names(axes: Any, rows: Sequence[Record]) -> None:
    axes.set_yticklabels([clean(wrapped(r["label"])) for r in rows])


def metric_forest(sources: Sources, task: Record) -> Picture | None:
    """A task's metrics: seed mean with interval, and every seed as a small dot."""
    rows = sources.runs_of(task["name"])
    if not rows:
        return None
    metrics = task["metrics"]
    with canvas(WIDTH_IN, 0.9 + 0.5 * len(rows), 1, len(metrics), sharey=True) as (figure, axes):
        for axis, metric in zip(axes[0], metrics, strict=True):
            _metric(axis, rows, task["name"], metric, looks(sources.rows))
        _names(axes[0, 0], rows)
        source = embed(figure)
    titles = " and ".join(m["title"] for m in metrics)
    return Picture(
        source, f"{titles} of every run on {task['title']}",
        f"{titles}: mean over seeds with interval over test cases; open dots are single seeds.",
    )  # fmt: skip


def _metric(
    axes: Any, rows: Sequence[Record], task: str, metric: Record, look: Mapping[str, tuple[str, str]],
    values: bool = False,
) -> None:  # fmt: skip
    for y, row in enumerate(rows):
        value = row["scores"].get(task, {}).get("metrics", {}).get(metric["name"])
        colour, marker = look[row["run"]]
        if value is None or value["value"] is None:
            axes.annotate("undefined" if value else "no entry", (0.02, y), xycoords=("axes fraction", "data"),
                          va="center", color=MUTED, fontsize=8.5)  # fmt: skip
            continue
        if value["low"] is not None:
            axes.plot([value["low"], value["high"]], [y, y], color=colour, lw=2.2, alpha=0.55, solid_capstyle="round")
        seeds = [v for v in value["seeds"].values() if v is not None]
        if len(seeds) > 1:
            axes.plot(seeds, [y + 0.24] * len(seeds), ls="", marker="o", ms=3, mfc="white", mec=colour, mew=0.8)
        axes.plot([value["value"]], [y], marker=marker, color=colour, ms=6)
        if values:
            text = number(value["value"], metric["decimals"])
            axes.annotate(text, (value["value"], y), (0, 7), textcoords="offset points", ha="center", fontsize=8)
    arrow = "higher is better →" if metric["higher_is_better"] else "← lower is better"
    axes.set_xlabel(f"{heading(metric)}\n{arrow}")
    _lines(axes, rows)


def overview(sources: Sources) -> bytes:
    """The leaderboard as one picture (PNG): ranks and every metric, run by run; tracks of other tasks below."""
    groups = _groups(sources)
    panels = [[(task, metric) for task in tasks for metric in task["metrics"]] for tasks, _ in groups]
    widths = [2.0] + [1.45] * max(map(len, panels))
    heights = [1.2 + 0.5 * len(rows) for _, rows in groups]
    options: dict[str, Any] = {"sharey": "row", "gridspec_kw": {"width_ratios": widths, "height_ratios": heights}}
    with canvas(2.3 + sum(widths), 0.55 + sum(heights), len(groups), len(widths), **options) as (figure, axes):
        for line, (_, rows), own in zip(axes, groups, panels, strict=True):
            names = dict.fromkeys(sources.title_of(r["track"]) for r in rows)
            _overview(
                line, sources, rows, own, f"Overall rank\n{', '.join(names)}" if len(groups) > 1 else "Overall rank"
            )
        tracks = dict.fromkeys(r["track"] for r in sources.rows)
        many = len(tracks) > 1
        said = " ".join(
            f"{sources.title_of(t)}: {standing(sources, t)}" if many else standing(sources, t) for t in tracks
        )
        figure.supxlabel(clean(wrapped(said, 140)), x=0.01, ha="left", fontsize=9, color=MUTED)
        return as_bytes(figure, "png", 140)


def _groups(sources: Sources) -> list[tuple[Sequence[Record], Sequence[Record]]]:
    """Tasks, and the rows of all tracks that have these, in the order of the leaderboard."""
    found: dict[tuple[str, ...], list[Record]] = {}
    for row in sources.rows:
        found.setdefault(tuple(t["name"] for t in sources.tasks_of(row["track"])), []).append(row)
    return [([t for t in sources.tasks if t["name"] in names], rows) for names, rows in found.items()]


def _overview(
    line: Any, sources: Sources, rows: Sequence[Record], panels: Sequence[tuple[Record, Record]], title: str
) -> None:  # fmt: skip
    """One line of axes: ranks, then a panel a metric; axes that are left over stay empty."""
    look = looks(sources.rows)
    _ranks(line[0], rows, look, shares=False)
    line[0].set_title(clean(title), fontweight="bold", pad=16)
    for axis, (task, metric) in zip(line[1:], panels, strict=False):
        _metric(axis, rows, task["name"], metric, look, values=True)
        axis.margins(x=0.16)
        first = metric is task["metrics"][0]
        axis.set_title(clean(wrapped(task["title"], 20)) if first else " ", fontweight="bold", pad=16)
    for axis in line[1 + len(panels) :]:
        axis.set_visible(False)
    places = ["" if r["place"] is None else f"{r['place']}.  " for r in rows]
    line[0].set_yticklabels([clean(wrapped(p + r["label"], 28)) for p, r in zip(places, rows, strict=True)])
