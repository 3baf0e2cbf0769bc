"""Who the subjects are: ``participants.tsv``, ``sessions.tsv``, and age and sex of every session."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from cairn.datasets.layouts.fomo import parts_of, subject_of
from cairn.datasets.layouts.place import KINDS, find_base
from cairn.errors import CairnError
from cairn.io.atomic import read_json
from cairn.io.tables import INDEX_COLUMNS, MISSING, PEOPLE_COLUMNS, read_table, write_table

SEXES = {"f": "F", "female": "F", "m": "M", "male": "M"}
PARTICIPANTS = "participants.tsv"
TABLES = (PARTICIPANTS, "mapping.tsv", "mri_info.tsv")
_SPELLED = {"age": ("age", "age_years", "age_at_scan"), "sex": ("sex", "gender"), "site": ("site",)}
_YEARS = re.compile(r"0*(\d+(?:\.\d+)?)\s*[Yy]?")
People = dict[str, dict[str, str]]


def participants(root: Path, kind: str = "bids") -> People:
    """Age (years), sex and site by subject, or by ``subject/session`` where a table tells sessions; see `person`.

    Read are ``participants.tsv`` of the data set, of FOMO's re-releases by ``dataset``, ``participant_id`` and
    ``session_id``, and BIDS' ``sub-*/sub-*_sessions.tsv``. Empty where there is none.

    Raises:
        CairnError: when a table cannot be read, or, but in a re-release, a subject has two rows. A re-release is not
            the user's to mend: there, what two rows say differently is not known.
    """
    if kind not in KINDS:
        return {}
    base, _ = find_base(root, kind)
    found: People = {}
    for table in [path for path in _places(base, root, kind) if path.is_file()][:1]:
        for key, row in _rows(table, kind):
            if key in found and kind != "fomo300k":
                raise CairnError(f"{table}: subject '{key}' has two rows.", "Keep one row a subject.", "duplicate")
            found[key] = {c: v if found.get(key, row)[c] == v else MISSING for c, v in row.items()}
    if kind == "bids":
        found.update(_sessions(base))
    return found


def person(people: Mapping[str, Mapping[str, str]], subject: str, session: str) -> dict[str, str]:
    """What is known of a subject at a session, ``n/a`` where nothing is; a re-release's site is its source."""
    known = dict.fromkeys(_SPELLED, MISSING)
    for row in (people.get(subject, {}), people.get(f"{subject}/{session}", {})):
        known |= {column: value for column, value in row.items() if value != MISSING}
    source, *inside = parts_of(subject)
    if inside and known["site"] == MISSING:
        known["site"] = source
    return known


def _places(base: Path, root: Path, kind: str) -> list[Path]:
    above = [base.absolute().parent, base.absolute().parent.parent] if kind == "fomo300k" else []
    return [folder / PARTICIPANTS for folder in (base, root, *above)]


def _rows(table: Path, kind: str) -> Iterator[tuple[str, dict[str, str]]]:
    for row in _lower(table, "participant_id"):
        subject = _bare(row["participant_id"], "sub")
        if kind == "fomo300k" and row.get("dataset", MISSING) != MISSING:
            subject = subject_of(*row["dataset"].split("/"), subject)
        session = row.get("session_id", MISSING)
        yield subject if session == MISSING else f"{subject}/{_bare(session, 'ses')}", _known(row)


def _sessions(base: Path) -> Iterator[tuple[str, dict[str, str]]]:
    for folder in sorted(base.glob("sub-*")):
        table = folder / f"{folder.name}_sessions.tsv"
        if table.is_file():
            for row in _lower(table, "session_id"):
                yield f"{_bare(folder.name, 'sub')}/{_bare(row['session_id'], 'ses')}", _known(row)


def _lower(table: Path, needed: str) -> Iterator[dict[str, str]]:
    try:
        rows = read_table(table, [needed])
    except UnicodeDecodeError:
        raise CairnError(f"{table}: not UTF-8.", "Save it as UTF-8, tab-separated.", "table") from None
    for row in rows:
        yield {column.lower(): value.strip() or MISSING for column, value in row.items()}


def _known(row: Mapping[str, str]) -> dict[str, str]:
    first = {
        c: next((row[w] for w in words if row.get(w, MISSING) != MISSING), MISSING) for c, words in _SPELLED.items()
    }
    return first | {"age": years(first["age"])}


def years(text: str) -> str:
    """An age in years as a plain number: ``034Y`` is 34; ranges (``40-45``), ``89+`` and words are no age."""
    match = _YEARS.fullmatch(text.strip())
    return match[1] if match else MISSING


def _bare(name: str, prefix: str) -> str:
    return name.removeprefix(f"{prefix}-").removeprefix(f"{prefix}_")


def gather_people(indexes: Iterable[Path], anatomies: Iterable[Path], out: Path) -> None:
    """Write age (years) and sex (``F``, ``M``) of every session; ``n/a`` where they are not known.

    Args:
        indexes: shard indexes of the data set.
        anatomies: truth of the embedded cohort, whose index does not tell ages.
        out: the table.
    """
    ages = {key: str(entry["age"]) for path in anatomies for key, entry in read_json(path).items()}
    rows = {}
    for index in sorted(indexes):
        for row in read_table(index, INDEX_COLUMNS):
            key = f"{row['subject']}/{row['session']}"
            rows[key] = {
                "subject": row["subject"], "session": row["session"], "age": ages.get(key, row["age"]),
                "sex": SEXES.get(row["sex"].strip().lower(), MISSING),
            }  # fmt: skip
    write_table(out, [rows[key] for key in sorted(rows)], PEOPLE_COLUMNS)
