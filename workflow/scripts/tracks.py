"""Stop when a run rests on what its track forbids, by the cards of the jobs that made its models."""

import json
from pathlib import Path

from cairn.config import parse
from cairn.config.tracks import TracksJob
from cairn.io.atomic import write_json
from cairn.provenance import Job, script
from cairn.provenance.tracks import check_tracks


def main(job: Job, config: dict, cards: list[Path], report: Path, card: Path) -> None:
    write_json(report, check_tracks(parse(TracksJob, config), cards))
    job.card(card, cards, [report])


script(__doc__, main, config=json.loads, cards=[Path], report=Path, card=Path)
