"""The chain from a number back to raw files: cards joined where one job's input is another's output."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cairn.provenance.cards import CARD, Card, read_card

RESOURCES = "resources"
State = Literal["made", "raw", "altered"]


@dataclass(frozen=True)
class Source:
    """A file that a job read: which, what was in it, and where it came from."""

    path: str
    sha256: str
    card: str
    """Card of the job that made it; empty for a raw file."""
    state: State
    """``made``: as its maker wrote it. ``raw``: no job made it. ``altered``: its maker wrote something else."""


@dataclass(frozen=True)
class Step:
    """One job of a chain."""

    card: str
    """Path of its card."""
    facts: Card
    """The card's content."""
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class Lineage:
    """All cards of an experiment, by path."""

    cards: Mapping[str, Card]

    @property
    def makers(self) -> dict[str, str]:
        """Card that stands for each file made."""
        return {output: path for path, card in self.cards.items() for output in card["outputs"]}

    def chain(self, targets: Iterable[str]) -> list[Step]:
        """The jobs that ``targets`` (paths of files) rest on: each before those that it reads from.

        A file that no job made, a raw file, ends its branch and stands among the sources of the jobs that read it.
        """
        makers = self.makers
        order: list[str] = []
        seen: set[str] = set()

        def visit(path: str) -> None:  # a chain is some ten jobs deep
            card = makers.get(path)
            if card is None or card in seen:
                return
            seen.add(card)
            for source in self.cards[card]["inputs"]:
                visit(source)
            order.append(card)

        for target in targets:
            visit(target)
        return [self._step(card, makers) for card in reversed(order)]

    def _step(self, path: str, makers: Mapping[str, str]) -> Step:
        card = self.cards[path]
        sources = []
        for name, digest in card["inputs"].items():
            maker = makers.get(name, "")
            as_made = bool(maker) and self.cards[maker]["outputs"][name] == digest
            sources.append(Source(name, digest, maker, "made" if as_made else "altered" if maker else "raw"))
        return Step(path, card, tuple(sources))


def card_files(results: Path) -> list[Path]:
    """Paths of all cards of an experiment and of the shared resources beside it, sorted; links are followed."""
    found = []
    for folder in (results, results.parent / RESOURCES):
        for here, below, names in os.walk(folder, followlinks=True):
            below[:] = [name for name in below if name != ".state"]
            found += [Path(here, n) for n in names if n == CARD or n.endswith(f".{CARD}")]
    return sorted(found)


def read_lineage(results: Path) -> Lineage:
    """Read all cards of an experiment.

    Args:
        results: folder of the experiment, ``results/{experiment}``, as the workflow names it: relative to the
            repository's folder, which is the current one.

    Raises:
        CairnError: for a card that is unreadable or of another format.
    """
    return Lineage({p.as_posix(): read_card(p) for p in card_files(results)})
