"""No subject, and no copy of a file, on two sides of a split: such a leak stops the workflow.

Slice- or file-level splits inflate accuracy by tens of points (Yagis et al., Sci Rep 2021, s41598-021-01681-w).
By names and by bytes, before anything is preprocessed; `near_duplicates` compares what is in the scans.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cairn.config.leakage import LeakageConfig
from cairn.datasets.sides import refused, sides_of
from cairn.errors import CairnError
from cairn.io.tables import INDEX_COLUMNS, MISSING, read_table

SHOWN = 5
Where = dict[str, set[tuple[str, str]]]


@dataclass
class _Seen:
    """Where each person, each nearly equal identifier and each content was met: (side, subject of a data set)."""

    people: Where = field(default_factory=lambda: defaultdict(set))
    spellings: Where = field(default_factory=lambda: defaultdict(set))
    scans: Where = field(default_factory=lambda: defaultdict(set))
    counts: dict[str, dict[str, set[str]]] = field(default_factory=dict)


def check_leakage(
    indexes: Iterable[Path], roles: Mapping[str, Iterable[str]], identities: Mapping[str, str], config: LeakageConfig
) -> dict[str, Any]:
    """Compare pretraining, fine-tuning and test data, by subject and by content of the files.

    A session is its subject's: whoever shares a session shares a subject.

    Args:
        indexes: shard indexes of all data sets.
        roles: data set -> its uses, of ``pretrain``, ``finetune``, ``validation``, ``indomain`` and ``test``.
        identities: data set -> name space of its subject identifiers. ``sub-1`` is one person only within a name space.
        config: which overlaps stop the workflow.

    Returns:
        Subjects and scans by data set, overlaps that the configuration asks to report, and the copies found within one
        side (content hash under two subjects).

    Raises:
        CairnError: naming the first shared subjects and scans.
    """
    seen = _Seen()
    for index in sorted(indexes):
        for row in read_table(index, INDEX_COLUMNS):
            _meet(seen, row, sides_of(roles[row["dataset"]]), identities[row["dataset"]])
    leaks: list[str] = []
    listed: list[str] = []
    for text, where in _overlaps(seen):
        spelling = text.startswith("subjects of nearly one name")
        stops = _stops(where, config) and not (spelling and config.similar_names == "report")
        (leaks if stops else listed).append(f"{text} ({_places(where)})")
    if leaks:
        more = f", and {len(leaks) - SHOWN} more" if len(leaks) > SHOWN else ""
        raise CairnError(
            f"Pretraining, fine-tuning and test data overlap: {'; '.join(leaks[:SHOWN])}{more}.",
            "Take the shared subjects out of one side; where two data sets number different people alike, give them "
            "different 'identities' in the configuration. What counts as an overlap: section 'leakage'.", "leak",
        )  # fmt: skip
    copies = {d: _places(where) for d, where in sorted(seen.scans.items()) if len({w for _, w in where}) > 1}
    sizes = {name: {k: len(v) for k, v in count.items()} for name, count in seen.counts.items()}
    return {"datasets": sizes, "roles": {n: sorted(r) for n, r in roles.items()}, "copies": copies, "reported": listed}


def spelled_alike(subject: str) -> str:
    """What is left of an identifier without what people write now one way, now another: case, separators, zeros."""
    parts = re.findall(r"[^\W\d_]+|\d+", subject.casefold())
    return "-".join(part.lstrip("0") or "0" for part in parts)


def _meet(seen: _Seen, row: Mapping[str, str], sides: Iterable[str], space: str) -> None:
    name, subject = row["dataset"], row["subject"]
    place = f"{name}/sub-{subject}"
    for side in sides:
        seen.people[f"{space}:{subject}"].add((side, place))
        seen.spellings[f"{space}:{spelled_alike(subject)}"].add((side, place))
        if row["sha256"] != MISSING:
            seen.scans[row["sha256"]].add((side, place))
    count = seen.counts.setdefault(name, {"subjects": set(), "scans": set()})
    count["subjects"].add(subject)
    count["scans"].add(row["path"])


def _overlaps(seen: _Seen) -> list[tuple[str, set[tuple[str, str]]]]:
    """What stands on two sides or more, and where."""
    found = [(f"subject {who.rsplit(':', 1)[1]}", where) for who, where in sorted(seen.people.items())]
    for _, where in sorted(seen.spellings.items()):
        names = sorted({place.split("/sub-", 1)[1] for _, place in where})
        if len(names) > 1:
            found.append((f"subjects of nearly one name, {', '.join(names)}", where))
    found += [(f"one scan, sha256 {digest[:12]}…", where) for digest, where in sorted(seen.scans.items())]
    return [(text, where) for text, where in found if len({side for side, _ in where}) > 1]


def _stops(where: set[tuple[str, str]], config: LeakageConfig) -> bool:
    sides = {side for side, _ in where}
    return any(refused(a, b, config.pretrain_finetune) for a in sides for b in sides)


def _places(where: set[tuple[str, str]]) -> str:
    return ", ".join(sorted(f"{place} in {side}" for side, place in where))
