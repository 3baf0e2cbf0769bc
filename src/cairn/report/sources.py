"""What the page is made from: every file by run, task and seed, as the contracts name their paths."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from cairn.config.evaluate import ReportJob
from cairn.config.tracks import tasks_of
from cairn.errors import CairnError
from cairn.evaluate.tables import RunCases, read_cases
from cairn.io.atomic import read_json
from cairn.io.tables import FEW_SHOT_COLUMNS, read_table
from cairn.provenance.cards import Card, read_card

_SEED = re.compile(r"seed-(\d+)$")
Record = Mapping[str, Any]


@dataclass(frozen=True)
class History:
    """The records of one training: ``stage`` is ``pretrain`` or ``finetune``, ``task`` is empty for the former."""

    stage: str
    run: str
    task: str
    seed: int
    records: tuple[Record, ...]


@dataclass(frozen=True)
class Sources:
    """Everything that the page shows."""

    job: ReportJob
    board: Record
    """Content of ``leaderboard.json``."""
    cases: Mapping[tuple[str, str], RunCases] = field(default_factory=dict)
    """By run and task."""
    cards: Mapping[str, Card] = field(default_factory=dict)
    """By path; in the order of the workflow."""
    histories: Sequence[History] = ()
    shards: Sequence[Path] = ()
    """Index tables of the test sets' shards."""
    labels: Sequence[Path] = ()
    predictions: Mapping[tuple[str, str, int], Path] = field(default_factory=dict)
    """Tables by run, task and seed."""
    manifests: Sequence[Path] = ()
    stability: Record = field(default_factory=dict)
    """Content of ``stability.json``; empty where it was not given."""
    board_file: str = ""
    """Path of ``leaderboard.json``."""
    case_tables: Mapping[tuple[str, str], Path] = field(default_factory=dict)
    """Paths of ``cases.tsv`` by run and task."""
    origins: Mapping[str, Record] = field(default_factory=dict)
    """By run, what its models rest on, as the check of the tracks read it from the cards."""
    few_shot_tables: Mapping[Path, Sequence[Mapping[str, str]]] = field(default_factory=dict)
    """Rows of each ``few_shot.tsv``, by its path; one table a run and task."""
    absent: Sequence[Record] = ()
    """Tasks of a benchmark whose data are not here: ``name``, ``why``, ``how`` to get them."""

    @property
    def rows(self) -> Sequence[Record]:
        """Rows of the leaderboard, in its order."""
        return list(self.board["rows"])

    @property
    def tasks(self) -> Sequence[Record]:
        """Tasks of the leaderboard."""
        return list(self.board["tasks"])

    @property
    def tracks(self) -> list[str]:
        """Tracks in the order of the leaderboard, then those that nobody has entered."""
        return list(dict.fromkeys([*(row["track"] for row in self.rows), *self.job.tracks]))

    def tasks_of(self, track: str) -> list[Record]:
        """Tasks that runs of a track are ranked on."""
        own = tasks_of(self.job.tracks, track, [task["name"] for task in self.tasks])
        return [task for task in self.tasks if task["name"] in own]

    @property
    def few_shot(self) -> list[Mapping[str, str]]:
        """Rows of all few-shot curves."""
        return [row for rows in self.few_shot_tables.values() for row in rows]

    def title_of(self, track: str) -> str:
        """Name of a track on the page."""
        return (self.job.tracks[track].title if track in self.job.tracks else "") or track

    def runs_of(self, task: str) -> list[Record]:
        """Rows that have results on a task."""
        return [r for r in self.rows if (r["run"], task) in self.cases]

    def case_files(self, run: str = "", task: str = "") -> list[str]:
        """Paths of the cases of a run or of a task."""
        chosen = [p for (r, t), p in self.case_tables.items() if run in ("", r) and task in ("", t)]
        return [p.as_posix() for p in chosen]

    def few_shot_files(self) -> list[str]:
        """Paths of the few-shot curves that have a point."""
        return [p.as_posix() for p, rows in self.few_shot_tables.items() if rows]

    def score_files(self, run: str, task: str) -> list[str]:
        """Path of the scores of a run on a task, as a list; empty where it has none."""
        return [str(PurePosixPath(p).with_name("scores.parquet")) for p in self.case_files(run, task)]


def read_sources(job: ReportJob, leaderboard: Path, files: Mapping[str, Sequence[Path]]) -> Sources:
    """Read all small inputs; volumes and masks are read where they are drawn.

    Args:
        job: configuration.
        leaderboard: ``leaderboard.json``.
        files: ``tracks``, ``cases``, ``cards``, ``histories``, ``shards``, ``labels``, ``predictions``, ``manifests``,
            ``few_shot`` (TSV); and one file each, where it is given, ``stability`` and ``absent`` (JSON).

    Raises:
        CairnError: for a file that is missing or not what it should be.
    """
    case_tables = {(p.parts[-3], p.parts[-2]): p for p in files.get("cases", ())}
    return Sources(
        job, _json(leaderboard), board_file=leaderboard.as_posix(), case_tables=case_tables,
        cases={names: read_cases(p) for names, p in case_tables.items()},
        cards={p.as_posix(): read_card(p) for p in files.get("cards", ())},
        histories=[_history(p) for p in files.get("histories", ())],
        shards=files.get("shards", ()), labels=files.get("labels", ()),
        predictions={(p.parts[-4], p.parts[-3], _seed(p)): p for p in files.get("predictions", ())},
        manifests=files.get("manifests", ()),
        origins={run: found for p in files.get("tracks", ()) for run, found in _json(p)["runs"].items()},
        stability=next((_json(p) for p in files.get("stability", ())), {}),
        few_shot_tables={p: read_table(p, FEW_SHOT_COLUMNS) for p in files.get("few_shot", ())},
        absent=[row for p in files.get("absent", ()) for row in _absent(p)],
    )  # fmt: skip


def _json(path: Path) -> Record:
    try:
        return dict(read_json(path))
    except (OSError, ValueError):
        raise CairnError(f"{path}: not a readable JSON file.", "Run the stage that makes it.", "json") from None


def _absent(path: Path) -> list[Record]:
    """Tasks whose data are absent, each with its name, why, and how to get them."""
    try:
        rows = read_json(path)
    except (OSError, ValueError):
        rows = None
    if not isinstance(rows, list) or not all({"name", "why", "how"} <= set(row) for row in rows):
        remedy = "It holds a list of objects with 'name', 'why' and 'how'."
        raise CairnError(f"{path}: no list of absent tasks.", remedy, "json")
    return rows


def _seed(path: Path) -> int:
    found = _SEED.match(path.parent.name)
    if found is None:
        raise CairnError(f"{path}: does not lie in a folder seed-<number>.", "Give the workflow's own files.", "path")
    return int(found[1])


def _history(path: Path) -> History:
    """Records of one ``history.jsonl``; a line that is no JSON (a training that was killed) is left out."""
    stage, run, task = ("finetune", path.parts[-4], path.parts[-3]) if "finetune" in path.parts[:-4] else (
        "pretrain", path.parts[-3], "",
    )  # fmt: skip
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return History(stage, run, task, _seed(path), tuple(r for r in records if isinstance(r, dict)))
