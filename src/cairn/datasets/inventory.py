"""What lies in a folder of scans: counted for a person, or as data; what cannot be used, with reason and remedy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cairn.datasets.layouts import Survey, survey
from cairn.datasets.layouts.place import guess_kind
from cairn.datasets.people import TABLES, participants, person
from cairn.errors import CairnError
from cairn.io.opening import visible_name
from cairn.io.tables import MISSING

EXAMPLES = 5  # of what cannot be used, by code; ``--json`` lists all


def take_inventory(root: Path, kind: str = "", headers: bool = False) -> dict[str, Any]:
    """Survey a folder.

    Args:
        root: the folder, as downloaded.
        kind: layout; guessed from a few names when empty.
        headers: open every scan's header too, one at a time.

    Returns:
        Plain data: ``kind`` and ``why``, counts (``scans``, ``sessions``, ``subjects``, ``bytes``, ``sequences``,
        ``sources``), ``tables``, ``known`` (sessions whose age and sex are known), ``unused``: a list of ``path``,
        ``code``, ``reason``, ``remedy``.

    Raises:
        CairnError: where the folder is of no such layout at all.
    """
    kind, why = (kind, "as asked") if kind else guess_kind(root)
    found = survey(root, kind)
    unused = [{"path": u.path, "code": u.code, "reason": u.reason, "remedy": u.remedy} for u in found.leftovers]
    people: dict[str, Any] = {}
    try:
        people = _people(found)
    except CairnError as error:
        unused.append(_refused("participants.tsv", error))
    refused = list(_bad_headers(found, {u["path"] for u in unused})) if headers else []
    lost = {scan.path for scan in found.scans} & {u["path"] for u in (*unused, *refused)}
    return {
        "root": str(root), "kind": kind, "why": why, "taken": found.taken,
        "scans": len(found.scans), "usable": len(found.scans) - len(lost),
        "sessions": len({(s.subject, s.session) for s in found.scans}),
        "subjects": len({s.subject for s in found.scans}), "bytes": sum(s.size for s in found.scans),
        "sequences": dict(Counter(s.sequence.split("_")[0] for s in found.scans).most_common()),
        "sources": dict(sorted(Counter(s.subject.split(".")[0] for s in found.scans if "." in s.subject).items())),
        "ignored": found.ignored, "headers": headers, "people": people, "unused": [*unused, *refused],
    }  # fmt: skip


def _people(found: Survey) -> dict[str, Any]:
    known = participants(found.root, found.kind)
    who = [person(known, *session) for session in sorted({(s.subject, s.session) for s in found.scans})]
    return {
        "tables": dict(_tables(found)),
        "age_known": sum(p["age"] != MISSING for p in who), "sex_known": sum(p["sex"] != MISSING for p in who),
    }  # fmt: skip


def _tables(found: Survey) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in TABLES:
        for table in (found.base / name, found.root / name):
            if table.is_file():
                with table.open(encoding="utf-8-sig", errors="replace") as file:
                    columns = file.readline().rstrip("\r\n").split("\t")
                    yield name, {"rows": sum(1 for line in file if line.strip()), "columns": columns}
                break


def _bad_headers(found: Survey, known: set[str]) -> Iterator[dict[str, str]]:
    from cairn.io.nifti import open_header

    for scan in (s for s in found.scans if s.path not in known):
        try:
            open_header(found.root / scan.path)
        except CairnError as error:
            yield _refused(scan.path, error)


def _refused(path: str, error: CairnError) -> dict[str, str]:
    return {"path": path, "code": error.code, "reason": visible_name(error.reason), "remedy": error.remedy}


def inventory_lines(found: dict[str, Any]) -> list[str]:
    """An inventory for a person."""
    lines = [f"{found['root']}: kind '{found['kind']}' ({found['why']}).", *filter(None, [found["taken"]])]
    lines += [
        f"{found['scans']:,} scans, {found['sessions']:,} sessions, {found['subjects']:,} subjects, "
        f"{found['bytes'] / 1e9:,.2f} GB.",
        "  " + ", ".join(f"{name} {number:,}" for name, number in found["sequences"].items()),
    ]
    if found["sources"]:
        lines.append(f"{len(found['sources'])} sources:")
        lines += [f"  {name} {number:,}" for name, number in found["sources"].items()]
    lines += list(_people_lines(found))
    if found["ignored"]:
        lines.append(f"{found['ignored']:,} left out by .bidsignore.")
    lines += list(_unused_lines(found["unused"]))
    checked = "headers checked" if found["headers"] else "names only; --headers opens each header too"
    return [*lines, f"{found['usable']:,} of {found['scans']:,} scans can be used ({checked})."]


def _people_lines(found: dict[str, Any]) -> Iterator[str]:
    for name, table in found["people"].get("tables", {}).items():
        yield f"{name}: {table['rows']:,} rows; columns {', '.join(table['columns'])}."
    if found["people"].get("tables"):
        ages, sexes, all_ = found["people"]["age_known"], found["people"]["sex_known"], found["sessions"]
        yield f"Age is known of {ages:,} of {all_:,} sessions, sex of {sexes:,}."


def _unused_lines(unused: list[dict[str, str]]) -> Iterator[str]:
    if not unused:
        return
    yield f"Not used: {len(unused):,}."
    for code, number in Counter(u["code"] for u in unused).most_common():
        these = [u for u in unused if u["code"] == code]
        yield f"  {code} ({number:,}): {these[0]['remedy']}"
        yield from (f"    {u['path']}: {u['reason']}" for u in these[:EXAMPLES])
        if number > EXAMPLES:
            yield f"    and {number - EXAMPLES:,} more (--json lists all)"
