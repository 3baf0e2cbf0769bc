"""Splits into training and validation: by subject, never by session, and the same for a seed whatever the order."""

from __future__ import annotations

from collections.abc import Sequence

from cairn.errors import CairnError
from cairn.ssl.draws import generator


def split_subjects(
    subjects: Sequence[str], share: float, seed: int, strata: Sequence[int] | None = None
) -> tuple[list[int], list[int]]:
    """Indices of training and of validation cases.

    Args:
        subjects: subject of each case.
        share: share of the subjects for validation; at least one subject (of each stratum that has two or more).
        seed: decides who.
        strata: group of each case; a subject's group is that of its first case.

    Raises:
        CairnError: with fewer than two subjects.
    """
    group: dict[str, int] = {}
    for subject, stratum in zip(subjects, strata or [0] * len(subjects), strict=True):
        group.setdefault(subject, stratum)
    if len(group) < 2:
        raise CairnError(f"{len(group)} subject(s) cannot be split.", "Add subjects.", code="too-few")
    held: set[str] = set()
    for stratum in sorted(set(group.values())):
        members = sorted(s for s, g in group.items() if g == stratum)
        count = min(max(1, round(share * len(members))), len(members) - 1)
        order = generator(seed, "split", stratum).permutation(len(members))
        held |= {members[i] for i in order[:count]}
    train = [i for i, s in enumerate(subjects) if s not in held]
    return train, [i for i, s in enumerate(subjects) if s in held]


def subset(places: Sequence[int], subjects: Sequence[str], share: float, seed: int) -> list[int]:
    """The places of a share of their subjects, one subject at least; a smaller share is part of a larger one.

    Args:
        places: indices of sessions.
        subjects: subject of every session.
        share: of the subjects, above 0 and at most 1.
        seed: decides who.
    """
    names = sorted({subjects[i] for i in places})
    order = generator(seed, "subset").permutation(len(names))
    kept = {names[i] for i in order[: max(1, round(share * len(names)))]}
    return [i for i in places if subjects[i] in kept]
