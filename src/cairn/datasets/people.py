"""Who the subjects are: ``participants.tsv``."""

from __future__ import annotations

from pathlib import Path

from cairn.errors import CairnError
from cairn.io.tables import read_table


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
