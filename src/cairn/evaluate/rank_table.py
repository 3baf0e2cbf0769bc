"""Rank any table of FOMO25's metrics: ``team,task,metric,value`` in, ``ranks.csv`` out, by the leaderboard's own rule.

The rule (`cairn.evaluate.ranking`) reproduces every rank that FOMO25 published. A table needs no experiment,
but holds no cases: nothing can be tested on it, so there are places and no tiers.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cairn.config.evaluate import DEFAULT_METRICS, Metric
from cairn.errors import CairnError
from cairn.evaluate.ranking import Floats, places, task_ranks
from cairn.io.atomic import write_text

TASKS: Mapping[str, tuple[Metric, ...]] = {
    "infarct": DEFAULT_METRICS["classification"],
    "meningioma": DEFAULT_METRICS["segmentation"],
    "brain_age": DEFAULT_METRICS["regression"],
}
COLUMNS = ("team", "task", "metric", "value")
RANK_COLUMNS = ("team", "place", "overall", *TASKS)
UNDEFINED = frozenset({"", "nan", "n/a", "na", "none", "null", "undefined"})
HEADER = f"The first line must be '{','.join(COLUMNS)}', cells separated by commas."
Key = tuple[str, str]
Values = Mapping[str, Mapping[Key, float]]


@dataclass(frozen=True)
class Standing:
    """One line of ``ranks.csv``; place, overall and ranks are None for a baseline."""

    team: str
    place: int | None = None
    overall: float | None = None
    ranks: Mapping[str, float] | None = None
    """Rank by task."""


def rank_file(path: Path, out: Path, baselines: Iterable[str] = ()) -> tuple[list[Standing], list[str]]:
    """Rank the table ``path`` and write ``out/ranks.csv``, atomically.

    Args:
        path: CSV with the columns ``team,task,metric,value``.
        out: folder; made where it is missing.
        baselines: teams that are listed without a rank and take no part in anybody's.

    Returns:
        The lines of the table, and what the reader should know of it, in sentences.

    Raises:
        CairnError: for a table that cannot be read or ranked, and a folder that cannot be written to.
    """
    values, notes = read_values(path)
    shown = {" ".join(name.split()) for name in baselines}
    for name in sorted(shown - set(values)):
        raise CairnError(f"{path}: no team '{name}' to be a baseline.", _nearest(name, values), "unknown")
    if shown == set(values):
        raise CairnError(f"{path}: every team is a baseline.", "Leave one to rank.", "empty")
    found = standings(values, shown)
    try:
        write_text(out / "ranks.csv", as_csv(found))
    except OSError as error:
        raise CairnError(f"{out}: {error.strerror}.", "Give --out a folder that you may write to.", "out") from None
    return found, notes + _gaps({team: v for team, v in values.items() if team not in shown})


def standings(values: Values, baselines: Iterable[str] = ()) -> list[Standing]:
    """Places and ranks: by place, then by name; then the baselines, by name.

    A team enters a task with a row for each of the task's metrics; on the others it ranks one behind all that did.

    Args:
        values: by team, then by task and metric; NaN is undefined and ranks last.
        baselines: teams that are not ranked.
    """
    shown = set(baselines)
    teams = sorted(set(values) - shown)
    by_task = {task: _task(task, [values[t] for t in teams]) for task in TASKS}
    overall = [sum(r[i] for r in by_task.values()) / len(TASKS) for i in range(len(teams))]
    found = [
        Standing(team, place, overall[i], {task: ranks[i] for task, ranks in by_task.items()})
        for i, (team, place) in enumerate(zip(teams, places(overall), strict=True))
    ]
    return sorted(found, key=lambda s: (s.place or 0, s.team)) + [Standing(t) for t in sorted(shown & set(values))]


def _task(task: str, teams: Sequence[Mapping[Key, float]]) -> list[float]:
    """Rank of every team on one task."""
    metrics = TASKS[task]
    entered = np.array([all((task, m.name) in team for m in metrics) for team in teams], bool)
    arrays: dict[str, Floats] = {
        m.name: np.array([[team.get((task, m.name), math.nan) for team in teams]]) for m in metrics
    }
    return [float(v) for v in task_ranks(arrays, metrics, entered)[0]]


def _gaps(values: Values) -> list[str]:
    """What is told of teams that did not enter a task whole."""
    said = []
    for task, metrics in TASKS.items():
        wanted = {(task, m.name) for m in metrics}
        entries = sum(wanted <= set(team) for team in values.values())
        for name, team in sorted(values.items()):
            lacking = [m for _, m in sorted(wanted - set(team))]
            if lacking:
                part = f"lacks {' and '.join(lacking)} of" if len(lacking) < len(wanted) else "did not enter"
                said.append(f"{name} {part} {task}: rank {entries + 1}, one behind the {entries} that entered.")
    return said


def read_values(path: Path) -> tuple[dict[str, dict[Key, float]], list[str]]:
    """Values by team, then by task and metric, and a sentence for each one that is undefined (NaN).

    Case, and a space or hyphen for an underscore, do not matter in names of columns, tasks and metrics; they do in a
    team's.

    Raises:
        CairnError: naming the line, for whatever is not such a table.
    """
    rows = _rows(path)
    found: dict[str, dict[Key, float]] = {}
    first: dict[tuple[str, Key], int] = {}
    notes = []
    for line, row in rows:
        where = f"{path}, line {line}"
        team = " ".join(row["team"].split())
        if not team:
            raise CairnError(f"{where}: no team.", "Name the team, or remove the line.", "table")
        key = _key(row["task"], row["metric"], where)
        if (team, key) in first:
            raise CairnError(
                f"{where}: {key[1]} of '{team}' on {key[0]} stands in line {first[team, key]} already.",
                "Keep one of the two.", "duplicate",
            )  # fmt: skip
        first[team, key] = line
        value = _number(row["value"], where)
        found.setdefault(team, {})[key] = value
        if math.isnan(value):
            notes.append(f"{team} has no value of {key[1]} on {key[0]} (line {line}): it ranks last there.")
    return found, notes


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Line number and cells of every row that holds anything."""
    text = _text(path)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    found: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            if any(c.strip() for c in cells):
                found.append((reader.line_num, [c.strip() for c in cells]))
    except csv.Error as error:
        remedy = "Check the quotation marks there."
        raise CairnError(f"{path}, line {reader.line_num}: no valid CSV ({error}).", remedy, "table") from None
    if not found:
        raise CairnError(f"{path}: the file is empty.", HEADER, "empty")
    columns = _columns(found[0][1], path)
    for line, cells in found[1:]:
        if len(cells) != len(columns):
            hint = "A decimal comma, or a comma in a name? Write 0.5, and quote the name."
            remedy = hint if len(cells) > len(columns) else "Separate the cells by commas; an unknown value is empty."
            raise CairnError(f"{path}, line {line}: {len(cells)} cells, not {len(columns)}.", remedy, "table")
    if len(found) == 1:
        raise CairnError(f"{path}: no row below the header.", "Add a row for every team, task and metric.", "empty")
    return [(line, dict(zip(columns, cells, strict=True))) for line, cells in found[1:]]


def _text(path: Path) -> str:
    """The file's text, without a byte order mark."""
    if path.is_dir():
        raise CairnError(f"{path}: is a folder.", "Name the CSV file in it.", "missing")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise CairnError(f"{path}: no such file.", "Check the path.", "missing") from None
    except UnicodeDecodeError:
        raise CairnError(f"{path}: not UTF-8 text.", "Save it as 'CSV UTF-8 (comma delimited)'.", "encoding") from None
    except OSError as error:
        raise CairnError(f"{path}: {error.strerror}.", "Make the file readable.", "missing") from None


def _columns(header: Sequence[str], path: Path) -> list[str]:
    """Names of the columns, in the file's order."""
    if len(header) == 1:
        for mark, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if mark in header[0]:
                raise CairnError(f"{path}: cells are separated by {name}.", "Save it separated by commas.", "table")
    names = [_plain(cell) for cell in header]
    for name, cell in zip(names, header, strict=True):
        if name not in COLUMNS:
            raise CairnError(f"{path}: unknown column '{cell}'.", f"{_nearest(name, COLUMNS)} {HEADER}", "table")
    if sorted(names) != sorted(COLUMNS):
        absent = [c for c in COLUMNS if c not in names]
        what = f"lacks the column(s) {', '.join(absent)}" if absent else "names a column twice"
        raise CairnError(f"{path}: {what}.", HEADER, "table")
    return names


def _key(task: str, metric: str, where: str) -> Key:
    """Task and metric as the rule names them."""
    key = _plain(task), _plain(metric)
    if key[0] not in TASKS:
        raise CairnError(f"{where}: unknown task '{task}'.", _nearest(key[0], TASKS), "unknown")
    known = [m.name for m in TASKS[key[0]]]
    if key[1] not in known:
        raise CairnError(f"{where}: unknown metric '{metric}' of task '{key[0]}'.", _nearest(key[1], known), "unknown")
    return key


def _number(text: str, where: str) -> float:
    """A value; NaN where it is undefined."""
    if text.lower() in UNDEFINED:
        return math.nan
    try:
        value = math.inf if "_" in text else float(text)
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        raise CairnError(f"{where}: '{text}' is no number.", "Write it like 0.782; unknown is empty or NaN.", "number")
    return value


def _plain(name: str) -> str:
    return "_".join(name.lower().replace("-", " ").replace("_", " ").split())


def _nearest(name: str, known: Iterable[str]) -> str:
    """The known names, the nearest first."""
    near = sorted(known, key=lambda k: (-difflib.SequenceMatcher(None, name.lower(), k.lower()).ratio(), k))
    return f"Known: {', '.join(near[:12])}{' …' if len(near) > 12 else ''}."


def as_csv(found: Sequence[Standing]) -> str:
    """Text of ``ranks.csv``; every number in the shortest form that reads back the same, a baseline's cells empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(RANK_COLUMNS)
    for s in found:
        numbers = [s.place, s.overall, *((s.ranks or {}).get(task) for task in TASKS)]
        writer.writerow([s.team, *("" if n is None else repr(n).removesuffix(".0") for n in numbers)])
    return out.getvalue()


def as_markdown(found: Sequence[Standing]) -> str:
    """The ranks as a Markdown table that reads well as plain text; overall with two decimals."""
    lines = [["place", "team", *RANK_COLUMNS[2:]]]
    for s in found:
        ranks = [f"{s.ranks[t]:g}" if s.ranks else "" for t in TASKS]
        overall = "" if s.overall is None else f"{s.overall:.2f}"
        lines.append([str(s.place or "–"), s.team.replace("|", r"\|"), overall, *ranks])
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * w if i == 1 else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    aligned = [
        [c.ljust(w) if i == 1 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
        for cells in (lines[0], rule, *lines[1:])
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in aligned)
