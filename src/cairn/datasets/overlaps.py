"""Published collections that hold each other: known before any scan is read.

``overlaps.tsv``, beside this file, names each collection, those that it is inside of, and the source. Where it is not
published which part of a collection a re-release holds, the table takes it to hold all.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path

from cairn.datasets.sides import refused, sides_of
from cairn.errors import CairnError
from cairn.io.tables import read_table

TABLE = Path(__file__).with_name("overlaps.tsv")


@cache
def holders() -> Mapping[str, frozenset[str]]:
    """Every known collection, with all that hold it, itself included.

    Raises:
        CairnError: when the table names a holder that has no row.
    """
    inside = {row["name"]: (row["inside"] or "").split() for row in read_table(TABLE, ("name", "inside"))}
    found: dict[str, frozenset[str]] = {}
    for name in inside:
        seen, waiting = set(), [name]
        while waiting:
            one = waiting.pop()
            if one not in inside:
                raise CairnError(f"{TABLE}: '{one}' has no row.", "Add the row, or mend the column 'inside'.", "table")
            if one not in seen:
                seen.add(one)
                waiting += inside[one]
        found[name] = frozenset(seen)
    return found


def shared(one: Iterable[str], other: Iterable[str]) -> tuple[str, str] | None:
    """The first pair of names of which one collection holds the other, or is it; None when there is none."""
    known = holders()
    for a in sorted(one):
        for b in sorted(other):
            if a in known[b] or b in known[a]:
                return a, b
    return None


def check_overlaps(
    known_as: Mapping[str, Sequence[str]], roles: Mapping[str, Sequence[str]], pretrain_finetune: str
) -> None:
    """No data set of one side is published inside a data set of another side.

    Args:
        known_as: data set -> names of published collections that it is, or holds.
        roles: data set -> its uses.
        pretrain_finetune: ``refuse`` or ``report``: see `cairn.config.leakage.LeakageConfig`.

    Raises:
        CairnError: code ``leak`` for an overlap, ``config`` for a name that the table does not have.
    """
    known = holders()
    for dataset, names in known_as.items():
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(sorted(known))}."
                reason = f"datasets.{dataset}.known_as: no published collection '{name}' in {TABLE.name}."
                raise CairnError(reason, f"{hint} A new one is a row of src/cairn/datasets/{TABLE.name}.", "config")
    for one, other in combinations([d for d in known_as if known_as[d] and roles.get(d)], 2):
        pair = shared(known_as[one], known_as[other])
        bad = [(a, b) for a in sides_of(roles[one]) for b in sides_of(roles[other]) if refused(a, b, pretrain_finetune)]
        if pair and bad:
            a, b = pair
            held = f"both are '{a}'" if a == b else f"'{b}' holds '{a}'" if b in known[a] else f"'{a}' holds '{b}'"
            raise CairnError(
                f"Data sets '{one}' ({bad[0][0]}) and '{other}' ({bad[0][1]}) overlap: {held}.",
                "Use another test set; or take the shared people out of one, and list in its 'known_as' the "
                "collections that are left.", "leak",
            )  # fmt: skip
