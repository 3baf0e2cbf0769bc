"""Put the page together: one HTML file with everything inside, and the leaderboard as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cairn.config.evaluate import ReportJob
from cairn.io.atomic import write_bytes, write_text
from cairn.report import cost, words
from cairn.report.curves import learning_curves
from cairn.report.few_shot import few_shot_curves
from cairn.report.forest import metric_forest, overview, rank_forest
from cairn.report.groups import tables
from cairn.report.lineage import as_script, embedded
from cairn.report.numbers import numbers, origins
from cairn.report.plots import task_plot
from cairn.report.slices import slices
from cairn.report.sources import Sources, read_sources
from cairn.report.stability import stability_plots
from cairn.report.templates import filled
from cairn.report.transfer import drops

Record = Mapping[str, Any]
MODES = {"": "", "full": "", "frozen": "; encoder frozen", "lora": "; low-rank changes of the encoder"}
"""How much of the encoder the labels change, where that is not all of it."""


def write_report(
    job: ReportJob, leaderboard: Path, files: Mapping[str, Sequence[Path]], page: Path, figure: Path
) -> None:
    """Write the page and the picture of the leaderboard.

    Args:
        job: configuration.
        leaderboard: ``leaderboard.json``.
        files: see `cairn.report.sources.read_sources`.
        page: where the page goes (HTML, self-contained).
        figure: where the picture goes (PNG).

    Raises:
        CairnError: for an input that is missing or unreadable.
    """
    sources = read_sources(job, leaderboard, files)
    write_text(page, render(sources))
    write_bytes(figure, overview(sources))


def render(sources: Sources) -> str:
    """The page's HTML."""
    return filled("page.html", content(sources))


def content(sources: Sources) -> dict[str, Any]:
    """All that the template shows."""
    board, job, cards = sources.board, sources.job, list(sources.cards.values())
    found = numbers(sources)
    return {
        "title": board["experiment"] or "Cairn",
        "board": board,
        "level": f"{board['evaluate']['confidence']:.0%}",
        "tracks": [_track(sources, t) for t in sources.tracks],
        "cautions": words.cautions(sources),
        "effects": words.effects(sources),
        "note": job.note,
        "stability": stability_plots(sources),
        "tasks": [_task(sources, t) for t in sources.tasks],
        "drops": drops(sources),
        "few_shot": few_shot_curves(sources),
        "absent": sources.absent,
        "curves": learning_curves(sources),
        "runs": [_run(sources, r) for r in sources.rows],
        "datasets": cost.datasets(sources),
        "spacing": _spacing(job),
        "stages": cost.stages(cards),
        "hardware": cost.hardware(cards),
        "versions": cost.versions(cards),
        "used": {m["name"] for t in sources.tasks for m in t["metrics"]},
        "limits": words.limits(sources),
        "numbers": found,
        "origins": origins(found, sources.cards),
        "lineage": as_script(embedded(sources.cards, found)) if found else "",
    }


def _task(sources: Sources, task: Record) -> Record:
    pictures = [metric_forest(sources, task), task_plot(sources, task), slices(sources, task)]
    return {
        **task, "pictures": [p for p in pictures if p is not None], "tables": tables(sources, task),
        "about": words.about(sources, task),
    }  # fmt: skip


def _track(sources: Sources, name: str) -> Record:
    return {
        "name": name, "title": sources.title_of(name), "rows": [r for r in sources.rows if r["track"] == name],
        "tasks": sources.tasks_of(name), "standing": words.standing(sources, name),
        "forest": rank_forest(sources, name),
    }  # fmt: skip


def _run(sources: Sources, row: Record) -> dict[str, str]:
    known = {r.run: r for r in sources.job.runs}
    run = known.get(row["run"])
    origin = sources.origins.get(row["run"], {})
    mode = MODES[run.finetune_mode or ""] if run else ""
    unknown = "not told" if run and run.image else "–"  # what a sealed image learned from
    seeds = sorted({len(c.seeds) for (name, _), c in sources.cases.items() if name == row["run"]})
    return {
        "label": row["label"], "run": row["run"], "track": sources.title_of(row["track"]), "method": row["method"],
        "objective": (run.objective or (run.weights and "foreign weights") if run else "") or "–",
        "network": ((run.network or (run.image and "sealed image")) if run else "") or "–",
        "pretrained_on": ", ".join([*origin.get("pretrained_on", ()), *origin.get("foreign_weights", ())]) or unknown,
        "finetuned_on": (", ".join(origin.get("finetuned_on", ())) or unknown) + mode,
        "seeds": " or ".join(map(str, seeds)) or "–",
    }  # fmt: skip


def _spacing(job: ReportJob) -> str:
    if job.spacing_mm is None:
        return ""
    sides = (job.spacing_mm,) if isinstance(job.spacing_mm, float | int) else job.spacing_mm
    return " × ".join(f"{s:g}" for s in dict.fromkeys(sides)) + " mm"
