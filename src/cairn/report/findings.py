"""The findings page: FOMO25's three findings asked of this experiment, every sentence with its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cairn.io.atomic import read_json, write_text
from cairn.provenance import chain
from cairn.provenance.cards import Card, read_card
from cairn.report.findings_plots import family_plot, gain_plot, scaling_plot
from cairn.report.templates import filled
from cairn.report.words import heading, listed, number, span

Record = Mapping[str, Any]
SETTINGS = {"shifted": "labels from another site than the test", "in-domain": "labels from the sites of the test"}
AMOUNTS = {"parameters": "the encoder's number of weights", "samples": "the number of samples seen"}
COSTS = {"pretraining": ("pretrain_encoder",), "fine-tuning": ("finetune_model", "fit_head")}
"""Stages whose cards each column of the cost adds up."""
UNASKED = "Not asked here."


def write_findings_page(findings: Path, cards: Sequence[Path], page: Path) -> None:
    """Write the page.

    Args:
        findings: ``findings.json``.
        cards: of pretrainings and fine-tunings, for the cost.
        page: where it goes (HTML, self-contained).
    """
    shown = content(read_json(findings), [read_card(path) for path in cards])
    write_text(page, filled("findings.html", shown))


def content(found: Record, cards: Sequence[Card]) -> dict[str, Any]:
    """All that the template shows."""
    metrics = {(t["name"], m["name"]): (t, m) for t in found["tasks"] for m in t["metrics"]}
    costs = {name: cost_of(cards, name) for name in found["labels"]}
    return {
        "title": found["experiment"] or "Cairn", "level": f"{found['confidence']:.0%}", "labels": found["labels"],
        "gains": [_gain_line(metrics, row) for row in found["pretraining"]],
        "pretraining": pretraining_words(found, metrics), "gain_figure": gain_plot(found, metrics),
        "families": found["families"], "family_words": family_words(found, metrics), "tasks": found["tasks"],
        "family_figure": family_plot(found), "scaling": found["scaling"], "scaling_words": scaling_words(found),
        "scaling_figure": scaling_plot(found), "costs": costs, "duration": chain.duration,
    }  # fmt: skip


def cost_of(cards: Iterable[Card], run: str) -> dict[str, chain.Cost]:
    """What pretraining and fine-tuning of a run cost, all seeds and tasks together."""
    own = [card for card in cards if (card["config"] or {}).get("run") == run]
    return {name: chain.cost([c for c in own if c["stage"] in jobs]) for name, jobs in COSTS.items()}


def pretraining_words(found: Record, metrics: Mapping[tuple[str, str], tuple[Record, Record]]) -> list[Record]:
    """The answer to the first question: by setting, one headline and its sentences."""
    answers: list[Record] = []
    for setting, words in SETTINGS.items():
        rows = [r for r in found["pretraining"] if r["setting"] == setting]
        if not rows:
            answers.append({"setting": words, "headline": UNASKED, "sentences": [
                "No pretrained run has a twin from a random start with these labels."
            ]})  # fmt: skip
            continue
        better = [r for r in rows if r["verdict"] == "better"]
        worse = [r for r in rows if r["verdict"] == "worse"]
        said = [f"it {verb} {_where(metrics, part)}" for verb, part in (("helps", better), ("hurts", worse)) if part]
        counts = sorted({len(r["pairs"]) for r in rows})
        count = " or ".join(map(str, counts))
        lead = f"Mean over {count} pretrained run{'s' if counts != [1] else ''}, each against its own twin: "
        answers.append({
            "setting": words, "headline": f"Shown: {' and '.join(said)}." if said else "Not shown on any task.",
            "sentences": [lead + "; ".join(_gain_words(metrics, r) for r in rows) + "."],
        })  # fmt: skip
    return answers


def _where(metrics: Mapping[tuple[str, str], tuple[Record, Record]], rows: Sequence[Record]) -> str:
    titles: dict[str, list[str]] = {}
    for task, metric in (metrics[r["task"], r["metric"]] for r in rows):
        titles.setdefault(task["title"], []).append(metric["title"])
    return "on " + listed([f"{task} ({listed(names)})" for task, names in titles.items()])


def _gain_words(metrics: Mapping[tuple[str, str], tuple[Record, Record]], row: Record) -> str:
    task, metric = metrics[row["task"], row["metric"]]
    return f"{task['title']} {metric['title']} {measured(row, metric['decimals'], metric['unit'], sign=True)}"


def measured(row: Record, decimals: int, unit: str = "", sign: bool = False) -> str:
    """A value with its interval, and "not shown" where the interval does not bear it out."""
    if row["value"] is None:
        return "undefined (not shown)"
    text = f"{number(row['value'], decimals, sign)}{f' {unit}' if unit else ''}"
    between = span(row["low"], row["high"], decimals, sign)
    noted = ", not shown" if row["verdict"] == "not shown" else ""
    return f"{text} ({between}{noted})" if between else text


def _gain_line(metrics: Mapping[tuple[str, str], tuple[Record, Record]], row: Record) -> dict[str, str]:
    task, metric = metrics[row["task"], row["metric"]]
    digits = metric["decimals"]
    return {
        "setting": SETTINGS[row["setting"]], "task": task["title"], "metric": heading(metric),
        "gain": number(row["value"], digits, sign=True), "interval": span(row["low"], row["high"], digits, sign=True),
        "verdict": row["verdict"], "runs": str(len(row["pairs"])),
    }  # fmt: skip


def family_words(found: Record, metrics: Mapping[tuple[str, str], tuple[Record, Record]]) -> Record:
    """The answer to the second question."""
    data = found["families"]
    if not data:
        return {
            "headline": UNASKED,
            "sentences": ["No two families have runs with the same network, samples seen and pretraining data."],
        }
    titles = {task["name"]: task["title"] for task in found["tasks"]}
    sentences, shown = [], 0
    for claim in data["claims"]:
        shown += claim["verdict"] == "better"
        verdict = {
            "better": "as FOMO25 found", "worse": "the other way round than FOMO25 found", "not shown": "not shown",
        }[claim["verdict"]]  # fmt: skip
        sentences.append(
            f"{titles[claim['task']]}: {claim['expected']} objectives rank {number(claim['value'], 2, sign=True)} "
            f"places better than {claim['over']} ones ({span(claim['low'], claim['high'], 2, sign=True)}): {verdict}."
        )
    if not data["claims"]:
        return {"headline": UNASKED, "sentences": ["FOMO25 compares masked with hybrid objectives; one is not here."]}
    many = len(data["claims"])
    headline = "Not shown on any task." if not shown else f"Shown on {shown} of {many} tasks."
    return {"headline": headline, "sentences": sentences}


def scaling_words(found: Record) -> Record:
    """The answer to the third question."""
    data = found["scaling"]
    tracks, shown = (data or {}).get("tracks"), []
    sentences = [f"Asked of track {listed(tracks)}: ranks of runs with other tasks do not compare."] if tracks else []
    for name, words in AMOUNTS.items():
        row = data.get(name) if data else None
        if row is None:
            sentences.append(f"Against {words}: {UNASKED.lower()} Too few pretrained runs differ in it.")
            continue
        shown += [words] if row["verdict"] == "better" else []
        sentences.append(f"Goodness (overall rank) against {words}: Spearman's ρ {measured(row, 2, sign=True)}.")
    asked = [name for name in AMOUNTS if data and data.get(name)]
    if not asked:
        return {"headline": UNASKED, "sentences": sentences}
    headline = f"More helps: {listed(shown)}." if shown else "That more helps is not shown."
    return {"headline": headline, "sentences": sentences}
