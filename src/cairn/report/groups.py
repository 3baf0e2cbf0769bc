"""Numbers that rank nothing, as tables of a task: single classes of its masks, and groups of its test set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cairn.report.sources import Sources
from cairn.report.words import heading, number, span

Record = Mapping[str, Any]
CLASSES = "Metrics of single classes, findings or structures; the leaderboard ranks by their mean."
FAIRNESS = (
    "Groups of the test set by age (years) and sex. Gap: largest less smallest value over the groups of one variable; "
    "fairness: mean over the variables of 1 − gap. Groups of fewer than {least} sessions, or in which the metric is "
    "undefined, are left out. Groups differ by chance too: a gap above 0 is no proof of bias."
)


def tables(sources: Sources, task: Record) -> list[dict[str, Any]]:
    """Tables of a task: title, columns, lines of cells, note."""
    return [
        t
        for kind, mark, note in (("classes", "_", CLASSES), ("fairness", "@", FAIRNESS))
        for metric in task["metrics"]
        if (t := _table(sources, task, metric, kind, mark, note))
    ]


def beside(sources: Sources) -> Iterator[tuple[Record, Record, Record, str, Record]]:
    """Row of the run, task, metric, full name and value of every such number."""
    for row in sources.rows:
        for task in sources.tasks:
            score = row["scores"].get(task["name"], {})
            for kind, mark in (("classes", "_"), ("fairness", "@")):
                for metric in task["metrics"]:
                    for name, value in score.get(kind, {}).get(metric["name"], {}).items():
                        yield row, task, metric, f"{metric['name']}{mark}{name}", value


def _table(sources: Sources, task: Record, metric: Record, kind: str, mark: str, note: str) -> dict[str, Any] | None:
    found = [(r, r["scores"][task["name"]].get(kind, {}).get(metric["name"])) for r in sources.runs_of(task["name"])]
    found = [(r, values) for r, values in found if values]
    if not found:
        return None
    names = list(dict.fromkeys(name for _, values in found for name in values))
    least = sources.board["evaluate"].get("fairness", {}).get("min_cases", "")
    return {
        "title": heading(metric), "columns": [_words(n, found) for n in names], "note": note.format(least=least),
        "lines": [_line(row, values, names, task, metric, mark) for row, values in found],
    }  # fmt: skip


def _words(name: str, found: Sequence[tuple[Record, Record]]) -> tuple[str, str]:
    """Heading of a column, and how many cases it rests on."""
    n = next((values[name]["n"] for _, values in found if name in values), None)
    words = name.replace("=", " ").replace(":", " ").replace("_", " ")
    return words, "" if n is None else f"{n} cases"


def _line(row: Record, values: Record, names: Sequence[str], task: Record, metric: Record, mark: str) -> Record:
    cells, digits = [], metric["decimals"]
    for name in names:
        v = values.get(name) or {"value": None, "low": None, "high": None}
        cells.append({
            "key": f"{row['run']}/{task['name']}/{metric['name']}{mark}{name}",
            "text": "–" if v["value"] is None else number(v["value"], digits),
            "small": span(v["low"], v["high"], digits),
        })  # fmt: skip
    return {"label": row["label"], "cells": cells}
