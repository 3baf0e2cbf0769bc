"""What the numbers say, in sentences: who leads, whether pretraining helped, what cannot be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cairn.evaluate.cases import OK
from cairn.report.sources import Sources

Record = Mapping[str, Any]
MAX_REASON = 70
MOST_LISTED = 8
"""More tasks than this are counted, not named."""
KINDS = {"findings": "Findings, several at once"}
READ = {
    "slice": "class token of a slice", "mask": "patch tokens under a mask", "window": "a window of slices",
    "volume": "all slices", "pair": "dense tokens of two volumes",
}  # fmt: skip
HEADS = {"linear": "linear head", "attention": "attention head", "mean": "mean, then linear head"}
"""How the page words a task's kind, and the input and head of a task on frozen features."""


@dataclass(frozen=True)
class Effect:
    """A pretrained run against its twin from a random start: the answer, its reasons, the lines of the table."""

    pretrained: str
    scratch: str
    track: str
    """Title of the pretrained run's track, where there are several."""
    headline: str
    sentences: Sequence[str]
    lines: Sequence[Mapping[str, str]]


def number(value: float | None, decimals: int = 3, sign: bool = False) -> str:
    """A number as printed everywhere on the page; ``undefined`` where there is none."""
    if value is None:
        return "undefined"
    text = f"{value:{'+' if sign else ''}.{decimals}f}"
    return text.replace("-", "−")


def span(low: float | None, high: float | None, decimals: int = 3, sign: bool = False) -> str:
    """An interval as printed everywhere on the page."""
    return "" if low is None or high is None else f"{number(low, decimals, sign)} to {number(high, decimals, sign)}"


def heading(metric: Record) -> str:
    """Title of a metric with its unit."""
    return f"{metric['title']} ({metric['unit']})" if metric["unit"] else str(metric["title"])


def p_value(value: float | None) -> str:
    """A p-value, without false precision."""
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def listed(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


SEALED = " A sealed image is one trained model: its place tells of that model, not of its method trained anew."
"""Why an entry has one seed, and never more."""


def standing(sources: Sources, track: str) -> str:
    """Who leads a track, or why nobody may be named; of a track that nobody has entered, how to."""
    if track not in sources.board["separable"]:
        return _entry(sources, track)
    said = sources.board["separable"][track]
    labels = {r["run"]: r["label"] for r in sources.rows}
    together = [labels[run] for run in said["together"]]
    ranked = [r for r in sources.rows if r["track"] == track and r["overall"]]
    if not ranked:
        return "No run of this track is ranked."
    if len(ranked) == 1:
        return f"{together[0]} is the only ranked run: there is nothing to rank it against."
    if said["winner"]:
        return f"{labels[said['winner']]} ranks first, and the permutation tests tell it from every other run."
    if not said["enough_seeds"]:
        sealed = {run.run for run in sources.job.runs if run.image}
        why = "No winner is named: some runs have fewer than three seeds, too few for a claim."
        return why + (SEALED if any(row["run"] in sealed for row in ranked) else "")
    leaders = [r["run"] for r in ranked if r["place"] == 1]
    first, rest = ([f"“{labels[r]}”" for r in said["together"] if (r in leaders) is at] for at in (True, False))
    shared = f"{listed(first)} share the first place"
    if not rest:
        return f"No winner is named: {shared}."
    others = "any other run" if len(together) == len(ranked) else " or ".join(rest)
    told = f"the permutation tests do not tell {first[0] if len(first) == 1 else 'each of them'} from {others}."
    return f"No winner is named: {told}" if len(first) == 1 else f"No winner is named: {shared}, and {told}"


def _entry(sources: Sources, track: str) -> str:
    """How to enter a track."""
    rules = sources.job.tracks[track]
    allowed = listed(rules.pretrain_data) if rules.pretrain_data else "any data set of this experiment"
    titles = [task["title"] for task in sources.tasks_of(track)]
    tasks = listed(titles) if len(titles) <= MOST_LISTED else f"{len(titles)} tasks"
    return (
        f"No run has entered. To enter, add a row with “{track}” as its track to the runs table: it is ranked on "
        f"{tasks or 'no task'}, may be pretrained on {allowed}, and {'may' if rules.foreign_weights else 'must not'} "
        "start from weights made elsewhere"
        f"{'; sealed images compete too' if rules.takes_images else ''}."
    )


def effects(sources: Sources) -> list[Effect]:
    """One `Effect` for every pair of a pretrained run and its twin from scratch."""
    rows = sources.board["pretraining"]
    labels = {r["run"]: r["label"] for r in sources.rows}
    pairs = dict.fromkeys((r["a"], r["b"]) for r in rows)
    tracks = {r["run"]: sources.title_of(r["track"]) if len(sources.tracks) > 1 else "" for r in sources.rows}
    return [
        _effect(sources, labels[a], labels[b], tracks[a], [r for r in rows if (r["a"], r["b"]) == (a, b)])
        for a, b in pairs
    ]


def _effect(sources: Sources, pretrained: str, scratch: str, track: str, rows: Sequence[Record]) -> Effect:
    names = {(t["name"], m["name"]): (t, m) for t in sources.tasks for m in t["metrics"]}
    level = f"{sources.board['evaluate']['confidence']:.0%}"
    sentences = []
    for verdict, verb in (("helped", "better"), ("hurt", "worse")):
        found = [r for r in rows if r["verdict"] == verdict]
        if found:
            sentences.append(f"With pretraining the network is {verb} in {_where(names, found)}.")
    unclear = [r for r in rows if r["verdict"] == "unclear"]
    if unclear:
        whole, long = len(unclear) == len(rows), len(unclear) > MOST_LISTED
        lead = "No difference can be told from chance" if whole else "Nothing can be told"
        where = f"any of the {len(rows)} metrics below" if whole and long else _where(names, unclear)
        sentences.append(f"{lead} in {where}.")
        reach = [_reach(names, r) for r in unclear if r["low"] is not None]
        if reach and long:
            sentences.append(f"Effects smaller than half of a {level} interval below cannot be seen.")
        elif reach:
            sentences.append(f"There the {level} intervals reach {listed(reach)}: smaller effects cannot be seen.")
    lines = [_line(sources, names, r) for r in rows]
    return Effect(pretrained, scratch, track, _headline(names, rows), sentences, lines)


def _headline(names: Mapping[tuple[str, str], tuple[Record, Record]], rows: Sequence[Record]) -> str:
    """The answer in one sentence, task by task."""
    titles = dict.fromkeys(_title(names, r) for r in rows)
    by_verdict = {
        v: [t for t in titles if any(r["verdict"] == v and _title(names, r) == t for r in rows)]
        for v in ("helped", "hurt")
    }
    said = [f"{verdict} on {listed(tasks)}" for verdict, tasks in by_verdict.items() if tasks]
    if not said:
        return "It cannot be told at this size."
    rest = set(titles) - {t for tasks in by_verdict.values() for t in tasks}
    return f"Pretraining {' and '.join(said)}{'; elsewhere it cannot be told at this size' if rest else ''}."


def _where(names: Mapping[tuple[str, str], tuple[Record, Record]], rows: Sequence[Record]) -> str:
    """``AUROC (Infarct), Dice and NSD (Meningioma)``."""
    metrics: dict[str, list[str]] = {}
    for row in rows:
        metrics.setdefault(_title(names, row), []).append(names[row["task"], row["metric"]][1]["title"])
    return listed([f"{listed(found)} ({title})" for title, found in metrics.items()])


def _title(names: Mapping[tuple[str, str], tuple[Record, Record]], row: Record) -> str:
    return str(names[row["task"], row["metric"]][0]["title"])


def _reach(names: Mapping[tuple[str, str], tuple[Record, Record]], row: Record) -> str:
    task, metric = names[row["task"], row["metric"]]
    half = f"{(row['high'] - row['low']) / 2:.{metric['decimals']}f}"
    return f"±{half} {metric['unit'] + ' ' if metric['unit'] else ''}{metric['title']} ({task['cases']} cases)"


def _line(sources: Sources, names: Mapping[tuple[str, str], tuple[Record, Record]], row: Record) -> dict[str, str]:
    task, metric = names[row["task"], row["metric"]]
    scores = {r["run"]: r["scores"] for r in sources.rows}
    digits = metric["decimals"]
    values = [scores[run][row["task"]]["metrics"][row["metric"]]["value"] for run in (row["a"], row["b"])]
    word = {"helped": "better", "hurt": "worse", "unclear": "cannot be told"}[row["verdict"]]
    return {
        "task": task["title"], "metric": heading(metric), "pretrained": number(values[0], digits),
        "scratch": number(values[1], digits), "difference": number(row["difference"], digits, sign=True),
        "interval": span(row["low"], row["high"], digits, sign=True), "p": p_value(row["p"]),
        "p_holm": p_value(row["p_holm"]), "verdict": row["verdict"], "word": word,
        "seed_wins": "–" if row["seed_wins"] is None else f"{row['seed_wins']:.0%}",
        "why": "/".join(("gain", *(row[k] for k in ("a", "b", "task", "metric")))),
        "why_pretrained": "/".join(row[k] for k in ("a", "task", "metric")),
        "why_scratch": "/".join(row[k] for k in ("b", "task", "metric")),
    }  # fmt: skip


def cautions(sources: Sources) -> list[str]:
    """What a reader must know before believing a number: undefined metrics, invalid predictions, few seeds."""
    found = []
    for task in sources.tasks:
        if not sources.runs_of(task["name"]):
            found.append(f"{task['title']}: no run has results.")
        elif task["kind"] == "classification" and task["positives"] in (0, task["cases"]):
            found.append(f"{task['title']}: the test set holds one class only, so AUROC is undefined.")
        elif task["kind"] == "findings" and (silent := _undefined(sources, task)):
            found.append(f"{task['title']}: all or none of the test cases have {listed(silent)}, which has no AUROC.")
    for row in sources.rows:
        for task in sources.tasks_of(row["track"]):
            score = row["scores"].get(task["name"])
            if score is None:
                found.append(f"{row['label']} has no result on {task['title']}; it ranks behind all that have.")
            elif score["invalid"]:
                share = "all" if score["invalid"] == score["predictions"] else f"{score['invalid']}"
                found.append(
                    f"{row['label']}, {task['title']}: {share} of {score['predictions']} predictions are invalid "
                    f"({_reasons(sources, row['run'], task['name'])}) and count as the worst possible answer."
                )
    seeds = {len(c.seeds) for c in sources.cases.values()}
    if seeds and min(seeds) < 3:
        found.append(f"Some runs have {min(seeds)} seed(s): too few for any claim; three are the least.")
    return found


def _undefined(sources: Sources, task: Record) -> list[str]:
    """Findings of which the test set holds one class only."""
    cases = sources.cases[sources.runs_of(task["name"])[0]["run"], task["name"]]
    return [name.replace("_", " ") for name in cases.findings if len(set(cases.of_finding(name).label)) < 2]


def about(sources: Sources, task: Record) -> str:
    """What a task is and how large its test set: one sentence, and how frozen features are read where they are."""
    ref = sources.job.tasks.get(task["name"])
    frozen, cases = (ref.frozen if ref else None) or {}, int(task["cases"])
    unit = "pair" if task["kind"] == "registration" else "item" if frozen else "session"
    said = f"{KINDS.get(task['kind'], task['kind'].capitalize())}, {_many(cases, f'test {unit}')} of "
    said += _many(int(task["subjects"]), "subject")
    if task["positives"] is not None:
        said += f", {task['positives']} positive"
    runs = sources.runs_of(task["name"])
    if task["kind"] == "survival" and runs:
        said += f", {_many(int(sources.cases[runs[0]['run'], task['name']].events.sum()), 'event')}"
    said += f" ({task['cohort']})." if task["cohort"] else "."
    if frozen:
        said += f" Told from frozen features: {READ.get(frozen.get('input', ''), 'features')}"
        said += "." if task["kind"] == "registration" else f", {HEADS.get(frozen.get('head', ''), 'head')}."
    return said


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"


def _reasons(sources: Sources, run: str, task: str) -> str:
    """The commonest reasons with their counts; long ones are cut."""
    statuses = [s for row in sources.cases[run, task].status for s in row if s != OK]
    names = sorted(set(statuses), key=lambda s: (-statuses.count(s), s))
    said = [f"{s if len(s) <= MAX_REASON else s[:MAX_REASON] + '…'}: {statuses.count(s)}" for s in names[:3]]
    return "; ".join([*said, f"{len(names) - 3} more"] if len(names) > 3 else said)


def limits(sources: Sources) -> list[str]:
    """What the page does not show."""
    found = []
    if any(d.get("kind") == "cohort" for d in sources.job.datasets.values()):
        found.append(
            "The embedded cohort measures the pipeline, not clinical skill: its lesions and ages are made, on a few "
            "real donor heads. No number here says how a method does on patients."
        )
    sizes = listed([f"{t['cases']} ({t['title']})" for t in sources.tasks])
    if len(sources.tasks) > MOST_LISTED:
        counts = [t["cases"] for t in sources.tasks]
        sizes = f"{min(counts)} to {max(counts)}, by task,"
    found += [
        f"Test sets are small: {sizes} cases. The intervals show what that means.",
        "Intervals and p-values answer for the choice of test cases. They do not answer for the chance in training, "
        "which the spread between seeds shows, nor for other sites, scanners or tasks.",
        "A rank depends on who else takes part; read the metric itself first.",
    ]
    own = {tuple(t["name"] for t in sources.tasks_of(track)) for track in sources.tracks}
    if len(own) > 1:
        found.append("Tracks have tasks of their own: ranks of one track do not compare with those of another.")
    return found
