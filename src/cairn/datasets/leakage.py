"""No subject, and no copy of a scan, on both sides of a split: such a leak stops the workflow.

Slice- or file-level splits inflate accuracy by tens of points (Yagis et al., Sci Rep 2021, s41598-021-01681-w).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cairn.errors import CairnError
from cairn.io.tables import INDEX_COLUMNS, read_table

SHOWN = 5


def check_leakage(
    indexes: Iterable[Path], roles: Mapping[str, Iterable[str]], identities: Mapping[str, str]
) -> dict[str, Any]:
    """Compare training and test data sets, by subject and by scan content.

    Args:
        indexes: shard indexes of all data sets.
        roles: data set -> its uses, of ``pretrain``, ``finetune``, ``indomain`` and ``test``. Training sets may share
            subjects; a test set may share none with any of them, nor serve as one.
        identities: data set -> name space of its subject identifiers. ``sub-1`` is one person only within a name space.

    Returns:
        Subjects and scans by data set, and the copies found within one side (content hash under two subjects).

    Raises:
        CairnError: naming the first shared subjects and scans.
    """
    people: dict[str, set[tuple[str, str]]] = defaultdict(set)
    scans: dict[str, set[tuple[str, str]]] = defaultdict(set)
    counts: dict[str, dict[str, set[str]]] = {}
    for index in sorted(indexes):
        for row in read_table(index, INDEX_COLUMNS):
            name, subject = row["dataset"], row["subject"]
            for side in {"test" if role == "test" else "training" for role in roles[name]}:
                people[f"{identities[name]}:{subject}"].add((side, f"{name}/sub-{subject}"))
                scans[row["sha256"]].add((side, f"{name}/sub-{subject}"))
            count = counts.setdefault(name, {"subjects": set(), "scans": set()})
            count["subjects"].add(subject)
            count["scans"].add(row["path"])
    leaks = [f"subject {who.split(':', 1)[1]} ({_places(where)})" for who, where in _on_both_sides(people)]
    leaks += [f"one scan, sha256 {digest[:12]}… ({_places(where)})" for digest, where in _on_both_sides(scans)]
    if leaks:
        more = f", and {len(leaks) - SHOWN} more" if len(leaks) > SHOWN else ""
        raise CairnError(
            f"Training and test data overlap: {'; '.join(leaks[:SHOWN])}{more}.",
            "Take the shared subjects out of one side; where two data sets number different people alike, give them "
            "different 'identities' in the configuration.", "leak",
        )  # fmt: skip
    copies = {digest: _places(where) for digest, where in sorted(scans.items()) if len({w for _, w in where}) > 1}
    sizes = {name: {k: len(v) for k, v in count.items()} for name, count in counts.items()}
    return {"datasets": sizes, "roles": {n: sorted(r) for n, r in roles.items()}, "copies": copies}


def _on_both_sides(where: Mapping[str, set[tuple[str, str]]]) -> list[tuple[str, set[tuple[str, str]]]]:
    return [(name, places) for name, places in sorted(where.items()) if len({side for side, _ in places}) == 2]


def _places(where: set[tuple[str, str]]) -> str:
    return ", ".join(sorted(f"{place} in {side}" for side, place in where))
