"""Write what `dvc metrics` and `dvc plots` show."""

from pathlib import Path

from cairn.evaluate.exports import write_tables
from cairn.provenance import Job, script


def main(job: Job, leaderboard: Path, histories: list[Path], metrics: Path, scores: Path, curves: Path, card: Path):
    write_tables(leaderboard, histories, metrics, scores, curves)
    job.card(card, [leaderboard, *histories], [metrics, scores, curves])


script(__doc__, main, leaderboard=Path, histories=[Path], metrics=Path, scores=Path, curves=Path, card=Path)
