"""Published collections that hold each other: known before any scan is read.

``overlaps.tsv``, beside this file, names each collection, those that it is inside of, and the source. Where it is not
published which part of a collection a re-release holds, the table takes it to hold all.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path

from cairn.datasets.layouts.fomo import SOURCE, SUBJECT, own_source
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


@cache
def _spelled() -> Mapping[str, str]:
    """Collection by its name and by its title, in lower-case letters and digits alone."""
    rows = read_table(TABLE, ("name", "title"))
    titles = {_plain(row["title"].partition(",")[0]): row["name"] for row in rows if "," not in row["title"]}
    return titles | {_plain(row["name"]): row["name"] for row in rows}


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def collection_of(folder: str) -> str:
    """The known collection that a source's folder is called after (``PT001_OASIS1``, ``PT007_BraTS-GLI_2023``), or "".

    Its words are tried together, then without the last ones, each time with and without a number at the end.
    """
    words = [w for w in re.split(r"[^A-Za-z0-9]+", SOURCE.sub("", folder, count=1)) if w]
    for count in range(len(words), 0, -1):
        name = _plain("".join(words[:count]))
        for spelled in (name, name.rstrip("0123456789")):
            if spelled in _spelled():
                return _spelled()[spelled]
    return ""


def collections_in(root: Path) -> tuple[str, ...]:
    """Known collections in a tree of FOMO's, by the names of its folders ``PT*``; empty where none tells one.

    Of the published sets FOMO300K alone has a folder of OpenNeuro, so a tree with one counts as FOMO300K.
    """
    own = own_source(root)
    if own:
        return (collection_of(own[0]),) if collection_of(own[0]) else ()
    inside = _folders(root)
    if not any(map(SOURCE.match, inside)):  # as downloaded, the sources lie one folder below
        inside = [name for folder in inside if not folder.startswith(SUBJECT) for name in _folders(root / folder)]
    found = {collection_of(name) for name in inside if SOURCE.match(name)} - {""}
    return tuple(sorted(found | ({"fomo300k"} if "openneuro" in found else set())))


def _folders(root: Path) -> list[str]:
    try:
        with os.scandir(root) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())
    except OSError:
        return []  # what is wrong with the folder, its listing tells


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
                "collections that are left. Without 'known_as', the names of a FOMO tree's folders tell them: where "
                "they tell it wrongly, set it ([] for none).", "leak",
            )  # fmt: skip
