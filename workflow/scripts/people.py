"""Gather age and sex of a data set's sessions, from its index and, of the embedded cohort, its truth."""

from pathlib import Path

from cairn.datasets.people import gather_people
from cairn.provenance import Job, script


def main(job: Job, indexes: list[Path], anatomies: list[Path], people: Path, card: Path) -> None:
    gather_people(indexes, anatomies, people)
    job.card(card, [*indexes, *anatomies], [people])


script(__doc__, main, indexes=[Path], anatomies=[Path], people=Path, card=Path)
