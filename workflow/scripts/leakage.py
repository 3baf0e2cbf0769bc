"""Stop when a subject, or a copy of a scan, is in training and in test data."""

import json
from pathlib import Path

from cairn.datasets.leakage import check_leakage
from cairn.io.atomic import write_json
from cairn.provenance import Job, script


def main(job: Job, config: dict, indexes: list[Path], report: Path, card: Path) -> None:
    write_json(report, check_leakage(indexes, config["roles"], config["identities"]))
    job.card(card, indexes, [report])


script(__doc__, main, config=json.loads, indexes=[Path], report=Path, card=Path)
