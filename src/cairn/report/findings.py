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
AMOUNTS = {"parameters": "weights of the encoder", "samples": "samples seen in pretraining"}
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
                "No pretrained run can be compared with the same network from a random start, with these labels."
            ]})  # fmt: skip
            continue
        better = [r for r in rows if r["verdict"] == "better"]
        worse = [r for r in rows if r["verdict"] == "worse"]
        said = [f"it {verb} {_where(metrics, part)}" for verb, part in (("helps", better), ("hurts", worse)) if part]
        counts = sorted({len(r["pairs"]) for r in rows})
        mean = f"mean over {' or '.join(map(str, counts))} pretrained runs, each"
        lead = f"Gain, positive is better, {mean if counts != [1] else 'of one pretrained run'} against "
        lead += "the same network from a random start: "
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
    sentences, shown, against = [], 0, 0
    for claim in data["claims"]:
        shown += claim["verdict"] == "better"
        against += claim["verdict"] == "worse"
        sentences.append(f"{titles[claim['task']]}: {_claim_words(claim)}.")
    if not data["claims"]:
        return {"headline": UNASKED, "sentences": ["FOMO25 compares masked with hybrid objectives; one is not here."]}
    headline = f"Shown on {shown} of {len(data['claims'])} tasks" if shown else "Not shown on any task"
    headline += f"; the other way round on {against}." if against else "."
    return {"headline": headline, "sentences": sentences}


def _claim_words(claim: Record) -> str:
    """Which family ranks better, by how many places, and whether FOMO25 found so."""
    verdicts = {"better": "as FOMO25 found", "worse": "FOMO25 found the reverse", "not shown": "not shown"}
    value, low, high = claim["value"], claim["low"], claim["high"]
    first, second = claim["expected"], claim["over"]
    if value < 0:
        first, second, value = second, first, -value
        low, high = (None, None) if low is None else (-high, -low)
    between = span(low, high, 2, sign=True)
    return (
        f"{first} objectives rank {number(value, 2)} places better than {second} ones"
        f"{f' ({between})' if between else ''}: {verdicts[claim['verdict']]}"
    )


def scaling_words(found: Record) -> Record:
    """The answer to the third question."""
    data = found["scaling"]
    tracks, shown = (data or {}).get("tracks"), []
    sentences = [f"Asked of track {listed(tracks)}: ranks of runs with other tasks do not compare."] if tracks else []
    for name, words in AMOUNTS.items():
        row = data.get(name) if data else None
        if row is None:
            sentences.append(f"{words.capitalize()}: {UNASKED.lower()} Too few pretrained runs differ in it.")
            continue
        if row["verdict"] != "not shown":
            shown.append(f"more {words} go with {row['verdict']} ranks (ρ {number(row['value'], 2, sign=True)})")
        least, most = (f"{end(run[name] for run in data['runs']):,}" for end in (min, max))
        sentences.append(f"{words.capitalize()}, {least} to {most}: Spearman's ρ {measured(row, 2, sign=True)}.")
    asked = [name for name in AMOUNTS if data and data.get(name)]
    if not asked:
        return {"headline": UNASKED, "sentences": sentences}
    sentences.append(
        "It is 1 where more always gives the better overall rank, and 0 where it tells nothing; FOMO25 found only weak "
        "correlations."
    )
    more = " or ".join(f"more {AMOUNTS[name]}" for name in asked)
    headline = f"Shown: {listed(shown)}." if shown else f"That {more} go with better ranks is not shown."
    return {"headline": headline, "sentences": sentences}
