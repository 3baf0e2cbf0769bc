"""Who the subjects are: ``participants.tsv``, and age and sex of every session."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cairn.errors import CairnError
from cairn.io.atomic import read_json
from cairn.io.tables import INDEX_COLUMNS, MISSING, PEOPLE_COLUMNS, read_table, write_table

SEXES = {"f": "F", "female": "F", "m": "M", "male": "M"}


def participants(root: Path) -> dict[str, dict[str, str]]:
    """Rows of ``participants.tsv`` by subject, empty when there is none.

    Raises:
        CairnError: when a subject has two rows.
    """
    table = root / "participants.tsv"
    if not table.is_file():
        return {}
    people: dict[str, dict[str, str]] = {}
    for row in read_table(table, ["participant_id"]):
        subject = row["participant_id"].removeprefix("sub-").removeprefix("sub_")
        if subject in people:
            raise CairnError(f"{table}: subject '{subject}' has two rows.", "Keep one row a subject.", "duplicate")
        people[subject] = row
    return people


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
