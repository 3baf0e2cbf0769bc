"""Pairs of volumes for registration: who is moved onto whom, and, for evaluation alone, their label maps."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.bench.beside import LABELS, maps_of, read_label_maps, write_label_maps
from cairn.bench.items import PAIR_COLUMNS
from cairn.config.bench import TargetsJob
from cairn.errors import CairnError
from cairn.io.atomic import sha256
from cairn.io.sessions import Session
from cairn.io.tables import write_table
from cairn.ssl.draws import generator

Array = npt.NDArray[Any]
Labels = Callable[[Session], Array | None]


@dataclass(frozen=True)
class Pair:
    """Two sessions of two subjects; the pair is the fixed one's in bootstrap."""

    moving: Session
    fixed: Session

    @property
    def names(self) -> dict[str, str]:
        """Subject and session of the pair."""
        session = f"{self.fixed.session}-from-{self.moving.subject}-{self.moving.session}"
        return {"subject": self.fixed.subject, "session": session}


def choose_pairs(sessions: Sequence[Session], count: int, seed: int) -> list[Pair]:
    """Pairs of the first session of every subject, each subject as often fixed as moved, as far as it goes.

    Raises:
        CairnError: with fewer than two subjects, or fewer than two pairs' worth (code ``too-few``).
    """
    first: dict[str, Session] = {}
    for session in sorted(sessions, key=lambda s: s.key):
        first.setdefault(session.subject, session)
    n = len(first)
    if n < 2 or count > n * (n - 1):
        raise CairnError(f"{count} pairs of {n} subjects.", "Add subjects, or ask for fewer pairs.", code="too-few")
    names = sorted(first)
    order = [first[names[i]] for i in generator(seed, "pairs").permutation(n)]
    return [Pair(order[(k + 1 + k // n) % n], order[k % n]) for k in range(count)]


def write_pairs(path: Path, pairs: Sequence[Pair]) -> None:
    """Write who is moved onto whom: items' keys, no label."""
    rows = [{**p.names, "moving": p.moving.key, "fixed": p.fixed.key} for p in pairs]
    write_table(path, sorted(rows, key=lambda r: (r["subject"], r["session"])), PAIR_COLUMNS)


def write_pair_labels(folder: Path, pairs: Sequence[Pair], labels: Labels, structures: int) -> list[dict[str, Any]]:
    """Write the label maps of every pair; a row for each: its names, the file's name and hash.

    Args:
        folder: where they go; what an earlier run left there goes.
        pairs: who with whom.
        labels: gives a session's label map on its item's grid.
        structures: number of labels.

    Raises:
        CairnError: when a session has no such map (code ``label``).
    """
    shutil.rmtree(folder, ignore_errors=True)
    rows = []
    for pair in pairs:
        maps = []
        for session in (pair.moving, pair.fixed):
            found = labels(session)
            if found is None:
                raise CairnError(f"{session.key}: has no label map.", "Registration is scored by it.", "label")
            maps.append(found)
        file = folder / f"{pair.names['subject']}_{pair.names['session']}.safetensors"
        write_label_maps(file, maps[0], maps[1], structures)
        rows.append({**pair.names, "labels": file.name, "sha256": sha256(file)})
    return sorted(rows, key=lambda r: (r["subject"], r["session"]))


def pair_targets(
    truth: Path, rows: Sequence[Mapping[str, Any]], targets: Path, job: TargetsJob
) -> list[dict[str, Any]]:
    """Rows of a registration's targets, with label maps of its classes alone, in ``{table's name}_labels/``.

    Raises:
        CairnError: when a class is none of the structures, or a map is not the one that was made (code ``label``).
    """
    unknown = sorted(set(job.task.classes) - set(job.form.structures))
    if unknown:
        reason = f"registration: {', '.join(unknown)} is none of the structures."
        raise CairnError(reason, f"There are {', '.join(job.form.structures)}.", "label")
    numbers = np.zeros(256, np.uint8)
    for number, name in enumerate(job.task.classes, start=1):
        numbers[job.form.structures.index(name) + 1] = number
    folder, found = maps_of(targets), []
    shutil.rmtree(folder, ignore_errors=True)
    for row in rows:
        source = truth.parent / LABELS / row["labels"]
        if not source.is_file() or sha256(source) != row["sha256"]:
            raise CairnError(f"{source}: not the label map that was made.", "Make the items again.", "label")
        moving, fixed = read_label_maps(source)
        file = folder / source.name
        write_label_maps(file, numbers[moving], numbers[fixed], len(job.task.classes))
        names = {"subject": row["subject"], "session": row["session"]}
        found.append({
            **names, "mask": f"{folder.name}/{file.name}", "mask_sequence": job.form.sequence,
            "mask_sha256": sha256(file),
        })  # fmt: skip
    return found
