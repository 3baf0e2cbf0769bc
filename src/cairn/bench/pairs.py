"""Pairs of volumes for registration: who is moved onto whom, and, for evaluation alone, their label maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.bench.items import PAIR_COLUMNS
from cairn.bench.registration import write_pair_labels
from cairn.bench.targets import write_targets
from cairn.config.bench import BenchTarget, ItemForm
from cairn.errors import CairnError
from cairn.io.sessions import Session
from cairn.io.tables import write_table
from cairn.ssl.draws import generator

Array = npt.NDArray[Any]
Labels = Callable[[Session, str], Array | None]


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


def write_pair_targets(path: Path, target: BenchTarget, form: ItemForm, pairs: Sequence[Pair], labels: Labels) -> int:
    """Write the label maps of every pair, and the table that names them; returns their number.

    Args:
        path: the table.
        target: ``key`` names the mask (default ``structures``), ``classes`` what is scored.
        form: names all labels of the mask.
        pairs: who with whom.
        labels: gives a session's label map on its item's grid.

    Raises:
        CairnError: when a session has no such mask, or a class is none of its structures (code ``label``).
    """
    mask = target.key or "structures"
    unknown = sorted(set(target.classes) - set(form.structures))
    if unknown:
        reason = f"registration: {', '.join(unknown)} is none of the structures."
        raise CairnError(reason, f"There are {', '.join(form.structures)}.", "label")
    numbers = np.zeros(256, np.uint8)
    for number, name in enumerate(target.classes, start=1):
        numbers[form.structures.index(name) + 1] = number
    folder, rows = path.parent / f"{path.stem}_labels", []
    for pair in pairs:
        maps = []
        for session in (pair.moving, pair.fixed):
            found = labels(session, mask)
            if found is None:
                raise CairnError(f"{session.key}: has no mask '{mask}'.", "Registration is scored by it.", "label")
            maps.append(numbers[found])
        file = folder / f"{pair.names['subject']}_{pair.names['session']}.safetensors"
        write_pair_labels(file, maps[0], maps[1], len(target.classes))
        rows.append({**pair.names, "mask": f"{folder.name}/{file.name}", "mask_sequence": form.sequence})
    write_targets(path, target, rows)
    return len(rows)
