"""Every number on the page: how it reads, the files that it stands in, and the command that tells its chain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cairn.provenance.cards import Card
from cairn.report import cost
from cairn.report.groups import beside
from cairn.report.sources import Sources
from cairn.report.transfer import drops
from cairn.report.words import heading, number, p_value, span

Record = Mapping[str, Any]
TOGETHER = "The leaderboard ranks all runs together, so this number rests on the scores of every one of them."


@dataclass(frozen=True)
class Number:
    """A number that opens its chain."""

    key: str
    """Its name in links: ``#why={key}``."""
    what: str
    """What it is, in words."""
    shown: str
    """As the page prints it."""
    row: str
    """Line of the table of origins that it belongs to."""
    files: tuple[str, ...] = ()
    """Paths of the files that it stands in."""
    notes: tuple[str, ...] = ()
    """What else to know of it."""
    ask: str = ""
    """What to ask `cairn why` for."""
    can_rebuild: bool = False
    """Whether `cairn rebuild` makes it again by the same name."""
    stage: str | None = None
    """For a cost: the stage whose jobs it sums; empty for all."""
    label: str = ""
    """Its name in the table of origins; empty: it is not repeated there."""


def numbers(sources: Sources) -> dict[str, Number]:
    """All numbers that open a chain, by key; none for a file that no card accounts for."""
    made = {path for card in sources.cards.values() for path in card["outputs"]}
    experiment = f" --experiment {sources.board['experiment']}" if sources.board["experiment"] else ""
    found = {}
    for n in (*_metrics(sources), *_beside(sources), *_ranks(sources), *_effects(sources), *_drops(sources),
              *_others(sources)):  # fmt: skip
        if n.stage is not None or (n.files and made.issuperset(n.files)):
            named = n.ask and not n.ask.startswith("results/")
            found[n.key] = replace(n, ask=n.ask + experiment if named else n.ask)
    return found


def _metrics(sources: Sources) -> Iterator[Number]:
    """Every metric of every run: the mean over seeds, and each seed."""
    for row in sources.rows:
        for task in sources.tasks:
            score = row["scores"].get(task["name"])
            for metric in task["metrics"] if score else ():
                yield from _metric(sources, row, task, metric, score["metrics"][metric["name"]])


def _metric(sources: Sources, row: Record, task: Record, metric: Record, value: Record) -> Iterator[Number]:
    run, digits, seeds = row["run"], metric["decimals"], value["seeds"]
    files = tuple(sources.score_files(run, task["name"]))
    spread = span(value["low"], value["high"], digits)
    level = f"{sources.board['evaluate']['confidence']:.0%}"
    notes = [f"{level} interval {spread}"] if spread else []
    notes += [f"{task['cases']} test cases of {task['cohort']}"]
    each = ", ".join(f"{number(v, digits)} (seed {s})" for s, v in seeds.items())
    notes += [f"mean of {each}" if len(seeds) > 1 else f"one seed: {each}"]
    title = f"{heading(metric)} of {row['label']} on {task['title']}"
    whole = Number(
        f"{run}/{task['name']}/{metric['name']}", title, number(value["value"], digits),
        f"{row['label']}: {task['title']}", files, tuple(notes), f"{run} {task['name']} {metric['name']}", True,
        label=heading(metric),
    )  # fmt: skip
    yield whole
    for seed, one in seeds.items():
        yield replace(
            whole, key=f"{whole.key}/seed-{seed}", what=f"{title}, seed {seed} alone", shown=number(one, digits),
            notes=(f"{task['cases']} test cases of {task['cohort']}; the job scores all seeds at once",),
            label=f"seed {seed}",
        )  # fmt: skip


def _beside(sources: Sources) -> Iterator[Number]:
    """Single classes, and groups of the test set."""
    for row, task, metric, name, value in beside(sources):
        spread = span(value["low"], value["high"], metric["decimals"])
        yield Number(
            f"{row['run']}/{task['name']}/{name}", f"{heading(metric)}, {name}, of {row['label']} on {task['title']}",
            number(value["value"], metric["decimals"]), f"{row['label']}: {task['title']}",
            tuple(sources.score_files(row["run"], task["name"])),
            (*([f"interval {spread}"] if spread else []), f"{value['n']} test cases of {task['cohort']}"),
            f"{row['run']} {task['name']} {name}", True,
        )  # fmt: skip


def _ranks(sources: Sources) -> Iterator[Number]:
    """Places, tiers and ranks."""
    base = Number("leaderboard", "The leaderboard", "", "Ranks, places, tiers, gains", (sources.board_file,),
                  (TOGETHER,))  # fmt: skip
    yield replace(base, what="All that the leaderboard says", ask=sources.board_file)
    level = f"{sources.board['evaluate']['confidence']:.0%}"
    for row in sources.rows:
        run, label, overall = row["run"], row["label"], row["overall"]
        for name in ("place", "tier"):
            if row[name] is not None:
                ask = f"{run} overall {name}"
                yield replace(base, key=f"{run}/overall/{name}", what=f"{name.capitalize()} of {label}",
                              shown=str(row[name]), ask=ask)  # fmt: skip
        if overall:
            spread = f"{level} interval {span(overall['low'], overall['high'], 2)}"
            yield replace(
                base, key=f"{run}/overall/rank", what=f"Overall rank of {label}", shown=number(overall["value"], 2),
                notes=(spread, TOGETHER), ask=f"{run} overall rank",
            )  # fmt: skip
        for task in sources.tasks:
            if task["name"] in row["ranks"]:
                rank = row["ranks"][task["name"]]
                spread = f"{level} interval {span(rank['low'], rank['high'], 1)}"
                yield replace(
                    base, key=f"{run}/{task['name']}/rank", what=f"Rank of {label} on {task['title']}",
                    shown=number(rank["value"], 1), notes=(spread, TOGETHER), ask=f"{run} {task['name']} rank",
                )  # fmt: skip


def _effects(sources: Sources) -> Iterator[Number]:
    """Gains of pretraining, with their p-values."""
    labels = {r["run"]: r["label"] for r in sources.rows}
    names = {(t["name"], m["name"]): (t, m) for t in sources.tasks for m in t["metrics"]}
    level = f"{sources.board['evaluate']['confidence']:.0%}"
    for row in sources.board["pretraining"]:
        task, metric = names[row["task"], row["metric"]]
        digits = metric["decimals"]
        spread = span(row["low"], row["high"], digits, sign=True) or "undefined"
        yield Number(
            "/".join(("gain", *(row[k] for k in ("a", "b", "task", "metric")))),
            f"Gain of {labels[row['a']]} over {labels[row['b']]}, {heading(metric)} on {task['title']}",
            number(row["difference"], digits, sign=True), "Ranks, places, tiers, gains", (sources.board_file,),
            (f"{level} interval {spread}", f"p {p_value(row['p'])}, corrected {p_value(row['p_holm'])}", TOGETHER),
            sources.board_file,
        )  # fmt: skip


def _drops(sources: Sources) -> Iterator[Number]:
    """What is lost where a head learned on other items than it is tested on."""
    for pair in drops(sources):
        far, near, metric = pair["far"], pair["near"], pair["metric"]
        for line in pair["lines"]:
            spread = span(line["low"], line["high"], metric["decimals"], sign=True) or "undefined"
            yield Number(
                line["key"], f"Drop of {heading(metric)} of {line['label']}, {near['title']} to {far['title']}",
                number(line["drop"], metric["decimals"], sign=True), f"{line['label']}: {far['title']}",
                tuple(line["files"]), (f"interval {spread}", f"{far['cases']} test cases of {far['cohort']}"),
                line["files"][-1],
            )  # fmt: skip


def _others(sources: Sources) -> Iterator[Number]:
    """Test sets, seeds of a run, training curves, data sets, cost."""
    for task in sources.tasks:
        files = sources.case_files(task=task["name"])
        yield Number(f"task/{task['name']}", f"Test cases, points and curves of {task['title']}",
                     f"{task['cases']} cases", f"Figures: {task['title']}", tuple(files))  # fmt: skip
    for row in sources.rows:
        files = sources.case_files(run=row["run"])
        yield Number(f"run/{row['run']}", f"All results of {row['label']}", "", f"Seeds: {row['label']}", tuple(files))
    curves = [p for card in sources.cards.values() for p in card["outputs"] if p.endswith("/history.jsonl")]
    yield Number("training", "Learning curves", "", "Figures: training", tuple(curves))
    for path in sources.manifests:
        name = path.parent.name
        yield Number(f"data/{name}", f"Subjects, sessions and scans of {name}", "", f"Data set: {name}",
                     (path.as_posix(),), ask=path.as_posix())  # fmt: skip
    if sources.few_shot:
        yield Number("few_shot", "Few-shot curves", "", "Figures: few-shot curves",
                     tuple(sources.few_shot_files()))  # fmt: skip
    for line in cost.stages(list(sources.cards.values())):
        name = line["name"]
        notes = (f"longest job {line['longest']}", f"peak memory {line['memory']}")
        yield Number(f"cost/{name or 'all'}", f"Time of {line['jobs']} jobs: {line['stage']}", line["total"], "Cost",
                     stage=name, notes=notes)  # fmt: skip


def origins(found: Mapping[str, Number], cards: Mapping[str, Card]) -> list[dict[str, Any]]:
    """Lines of the table of origins: the numbers that stand in the same files, and those files with their SHA-256."""
    hashes = {path: digest for card in cards.values() for path, digest in card["outputs"].items()}
    lines: dict[str, list[Number]] = {}
    for n in found.values():
        lines.setdefault(n.row, []).append(n)
    return [
        {
            "row": row, "numbers": members, "listed": [n for n in members if n.label],
            "files": [{"path": path, "sha256": hashes[path]} for path in members[0].files],
        }
        for row, members in lines.items()
    ]  # fmt: skip
