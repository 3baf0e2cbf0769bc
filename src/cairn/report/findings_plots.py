"""Figures of the findings page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cairn.report.style import COLOURS, INK, MARKERS, MUTED, RULE, WIDTH_IN, Picture, canvas, clean, embed, wrapped
from cairn.report.words import heading

Record = Mapping[str, Any]
FAMILIES = ("masked", "contrastive", "context", "hybrid", "distillation", "predictive")
LOOK = {name: (COLOURS[i], MARKERS[i]) for i, name in enumerate(FAMILIES)}
SETTING_COLOUR = {"shifted": COLOURS[0], "in-domain": COLOURS[1]}


def gain_plot(found: Record, metrics: Mapping[tuple[str, str], tuple[Record, Record]]) -> Picture | None:
    """Pretrained minus scratch: a panel a metric, a line a setting; None where nothing is paired."""
    rows = [r for r in found["pretraining"] if r["value"] is not None]
    if not rows:
        return None
    panels = list(dict.fromkeys((r["task"], r["metric"]) for r in rows))
    settings = list(dict.fromkeys(r["setting"] for r in rows))
    with canvas(WIDTH_IN + 3.0, 0.9 + 0.4 * len(settings), 1, len(panels), sharey=True) as (figure, axes):
        for axis, key in zip(axes[0], panels, strict=True):
            task, metric = metrics[key]
            for row in (r for r in rows if (r["task"], r["metric"]) == key):
                y, colour = settings.index(row["setting"]), SETTING_COLOUR[row["setting"]]
                axis.plot([row["low"], row["high"]], [y, y], color=colour, lw=2.4, alpha=0.55, solid_capstyle="round")
                axis.plot([row["value"]], [y], marker="o", color=colour, ms=6)
            axis.axvline(0, color=INK, lw=0.8)
            axis.set_title(clean(f"{wrapped(task['title'], 20)}\n{heading(metric)}"), fontsize=8.5)
            axis.locator_params(axis="x", nbins=3)
            axis.set(ylim=(len(settings) - 0.4, -0.6), yticks=range(len(settings)), yticklabels=settings)
            axis.spines["left"].set_visible(False)
        source = embed(figure)
    return Picture(
        source, "Gain of pretraining by task, metric and setting",
        "Pretrained minus scratch, signed so that right of the line is better, with its interval over test cases. "
        "Shifted: labels from another site than the test; in-domain: from the same.",
        wide=True,
    )  # fmt: skip


def family_plot(found: Record) -> Picture | None:
    """Mean rank of each family on each task; None with one family."""
    data = found["families"]
    if not data:
        return None
    titles = {task["name"]: task["title"] for task in found["tasks"]}
    names = [name for name in FAMILIES if name in data["members"]]
    with canvas(WIDTH_IN, 1.1 + 0.28 * len(names) * len(data["tasks"])) as (figure, axes):
        axis, y, ticks = axes[0, 0], 0.0, []
        for row in data["tasks"]:
            ticks.append((y + (len(names) - 1) / 2, titles[row["task"]]))
            for name in names:
                value, (colour, mark) = row["ranks"][name], LOOK[name]
                if value["value"] is None:
                    y += 1
                    continue
                axis.plot([value["low"], value["high"]], [y, y], color=colour, lw=2, alpha=0.55, solid_capstyle="round")
                label = name if row is data["tasks"][0] else None
                axis.plot([value["value"]], [y], marker=mark, color=colour, ms=6, label=label, ls="")
                y += 1
            y += 0.8
        axis.set(
            yticks=[t for t, _ in ticks],
            yticklabels=[clean(wrapped(t)) for _, t in ticks],
            xlabel="mean rank (1 is best)",
        )
        axis.set_ylim(y - 1, -1)
        axis.grid(axis="x", color=RULE, lw=0.6)
        axis.set_axisbelow(True)
        figure.legend(loc="outside upper left", ncols=min(4, len(names)))
        source = embed(figure)
    return Picture(
        source, "Mean rank of each family of objectives on each task",
        "Mean rank of each family's runs among pretrained runs that differ in their objective alone, with its interval "
        "over test cases. A family that "
        "is left on one task and right on another fits the one and not the other.",
    )  # fmt: skip


def scaling_plot(found: Record) -> Picture | None:
    """Overall rank against weights and against samples seen; None with one run."""
    runs = (found["scaling"] or {}).get("runs", [])
    if len(runs) < 2:
        return None
    axes_of = {"parameters": "weights of the encoder", "samples": "samples seen in pretraining"}
    with canvas(WIDTH_IN + 2.4, 3.0, 1, 2, sharey=True) as (figure, axes):
        for axis, (key, words) in zip(axes[0], axes_of.items(), strict=True):
            for run, x in zip(runs, beside([run[key] for run in runs]), strict=True):
                rank, (colour, mark) = run["rank"], LOOK[run["family"]]
                axis.plot([x] * 2, [rank["low"], rank["high"]], color=colour, lw=1.6, alpha=0.4)
                axis.plot([x], [rank["value"]], marker=mark, color=colour, ms=6, ls="")
            axis.set(xscale="log", xlabel=words)
            amounts = sorted({run[key] for run in runs})
            axis.set_xticks(amounts, [f"{amount:,}" for amount in amounts], rotation=30, ha="right")
            axis.minorticks_off()
            axis.locator_params(axis="y", integer=True)
            axis.grid(color=RULE, lw=0.6)
            axis.set_axisbelow(True)
        axes[0, 0].set_ylabel("overall rank (1 is best)")
        axes[0, 0].invert_yaxis()
        for name in (name for name in FAMILIES if any(r["family"] == name for r in runs)):
            axes[0, 1].plot([], [], ls="", label=name, color=LOOK[name][0], marker=LOOK[name][1])
        figure.legend(loc="outside upper left", ncols=len(FAMILIES), labelcolor=MUTED)
        source = embed(figure)
    return Picture(
        source, "Overall rank against size and against samples seen",
        "Each pretrained run, with the interval of its rank over test cases; runs of the same amount stand side by "
        "side. If more were better, the points would rise to the right.",
        wide=True,
    )  # fmt: skip


def beside(amounts: Sequence[int]) -> list[float]:
    """Places on a logarithmic axis at which runs of equal amounts stand side by side."""
    wide = max(amounts) / min(amounts) if min(amounts) < max(amounts) else 10.0
    seen: dict[int, int] = {}
    found = []
    for amount in amounts:
        place, many = seen.setdefault(amount, 0), list(amounts).count(amount)
        seen[amount] += 1
        found.append(amount * wide ** (0.016 * (place - (many - 1) / 2)))
    return found
