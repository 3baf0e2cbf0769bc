"""Is everything that lies on disk what its job made? What is not is named and set aside, so that it is made again.

After `dvc pull`, or whenever in doubt. Files whose content is right get the time at which their job ended: a plan then
finds inputs older than outputs and hashes nothing, however the files came here.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cairn.errors import CairnError
from cairn.io.stat_cache import StatCache
from cairn.provenance.cards import Card, read_card
from cairn.provenance.lineage import card_files

STATE = ".state"
READERS = 4  # hashing leaves the interpreter free: disks and cores are kept busy


@dataclass(frozen=True)
class Fault:
    """A file that is not what a card says."""

    path: str
    kind: Literal["missing", "altered", "unreadable"]
    card: str
    stage: str


@dataclass
class Restored:
    """What a check found and did."""

    files: int = 0
    size: int = 0
    jobs: int = 0
    faults: list[Fault] = field(default_factory=list)
    set_aside: list[str] = field(default_factory=list)


def restore(results: Path, every: bool = False, change: bool = True) -> Restored:
    """Compare every file of an experiment with the card of its job; set aside what differs.

    A file that differs goes to ``{results}/.state/set_aside/``, and with it the card of its job: without its card the
    workflow makes the job's files again, and what rests on them.

    Args:
        results: folder of the experiment, ``results/{experiment}``, relative to the current folder.
        every: hash every file, even where size and time say that it was hashed before.
        change: set aside and set times; otherwise only look.

    Returns:
        Counts, and every fault by name.
    """
    found = Restored()
    cards = dict(_cards(results, found))
    with StatCache(results / STATE / "hashes.json", every) as cache, ThreadPoolExecutor(READERS) as pool:
        for path, card in cards.items():
            names = list(card["outputs"])
            right = list(pool.map(lambda name, card=card: _check(name, card, cache), names))
            found.faults += [
                Fault(name, state, path, card["stage"])
                for name, state in zip(names, right, strict=True)
                if state != "ok"
            ]
            good = [Path(name) for name, state in zip(names, right, strict=True) if state == "ok"]
            found.files += len(good)
            found.size += sum(p.stat().st_size for p in good)
            if change:
                _set_times([*good, Path(path)], card["finished"], cache)
    found.jobs = len(cards)
    if change:
        found.set_aside = _set_aside(results, found.faults)
    return found


def _cards(results: Path, found: Restored) -> Iterator[tuple[str, Card]]:
    for path in card_files(results):
        try:
            yield path.as_posix(), read_card(path)
        except CairnError:
            found.faults.append(Fault(path.as_posix(), "unreadable", path.as_posix(), "?"))


def _check(name: str, card: Card, cache: StatCache) -> Literal["ok", "missing", "altered"]:
    path = Path(name)
    if not path.is_file():
        return "missing"
    return "ok" if cache.sha256(path) == card["outputs"][name] else "altered"


def _set_times(paths: list[Path], finished: float, cache: StatCache) -> None:
    moment = round(finished * 1000) * 1_000_000
    for path in paths:
        if path.stat().st_mtime_ns != moment:
            digest = cache.sha256(path)
            os.utime(path, ns=(moment, moment))
            cache.moved(path, digest)


def _set_aside(results: Path, faults: list[Fault]) -> list[str]:
    """Move faulty files, and the cards of their jobs, out of the way; returns what was moved."""
    aside = results / STATE / "set_aside"
    moved = []
    for name in dict.fromkeys(name for fault in faults for name in (fault.path, fault.card)):
        path = Path(name)
        if path.is_file():
            target = aside / os.path.relpath(path, results.parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, target)
            moved.append(name)
    return moved


def words(found: Restored, lost: list[str]) -> str:
    """What a check found, for a person; ``lost`` is from `unrecorded`."""
    lines = [f"{fault.kind:<10} {fault.path}  (made by {fault.stage})" for fault in found.faults]
    lines.append(f"{found.files:,} files of {found.jobs} jobs, {found.size / 1e6:,.0f} MB, are as they were made.")
    if found.faults:
        lines.append(f"{len(found.faults)} are not. `snakemake -n` shows what is to be made again.")
    if found.set_aside:
        lines.append("Set aside under .state/set_aside/ of the experiment; `dvc checkout` brings the kept ones back.")
    if lost:
        lines.append(
            f"Of {len(lost)} jobs the workflow keeps no record ({lost[0]}, …): later edits of their code or parameters "
            "would go unseen. `dvc pull` brings .snakemake/metadata; or make them again with `snakemake --forcerun`."
        )
    return "\n".join(lines)


def unrecorded(metadata: Path, cards: Iterable[str]) -> list[str]:
    """Cards that Snakemake keeps no record of: a later edit of their code or parameters would go unseen.

    Args:
        metadata: ``.snakemake/metadata``.
        cards: paths of the experiment's cards; a card is a declared output of its job.
    """
    from base64 import urlsafe_b64encode

    files = [p.relative_to(metadata).parts for p in metadata.rglob("*") if p.is_file()]
    known = {"".join(part.removeprefix("@") for part in parts) for parts in files}  # long names are cut into folders
    return [path for path in cards if urlsafe_b64encode(path.encode()).decode() not in known]
