"""Write the leaderboard's page and its picture."""

import json
from pathlib import Path

from cairn.config import parse
from cairn.config.evaluate import ReportJob
from cairn.provenance import Job, script
from cairn.report.page import write_report

FILES = (
    "tracks", "stability", "cases", "cards", "histories", "shards", "labels", "predictions", "few_shot", "absent",
    "manifests",
)  # fmt: skip


def main(job: Job, config: dict, leaderboard: Path, page: Path, figure: Path, card: Path, **files: list[Path]) -> None:
    write_report(parse(ReportJob, config), leaderboard, files, page, figure)
    job.card(card, [leaderboard, *(path for paths in files.values() for path in paths)], [page, figure])


many = {name: [Path] for name in FILES}
script(__doc__, main, config=json.loads, leaderboard=Path, page=Path, figure=Path, card=Path, **many)
