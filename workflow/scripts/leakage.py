"""Stop when a subject, or a copy of a file, is on two sides of the split: pretraining, fine-tuning, test."""

import json
from pathlib import Path

from cairn.config import parse
from cairn.config.leakage import LeakageConfig
from cairn.datasets.leakage import check_leakage
from cairn.io.atomic import write_json
from cairn.provenance import Job, script


def main(job: Job, config: dict, indexes: list[Path], report: Path, card: Path) -> None:
    rules = parse(LeakageConfig, config["leakage"])
    write_json(report, check_leakage(indexes, config["roles"], config["identities"], rules))
    job.card(card, indexes, [report])


script(__doc__, main, config=json.loads, indexes=[Path], report=Path, card=Path)
