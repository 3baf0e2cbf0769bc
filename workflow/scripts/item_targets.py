"""Read a task's targets off the truth of items: for heads, and for evaluation, never for predictions."""

import json
from pathlib import Path

from cairn.bench.targets import item_targets
from cairn.config import parse
from cairn.config.bench import TargetsJob
from cairn.provenance import Job, script


def main(job: Job, config: dict, truth: Path, targets: Path, card: Path) -> None:
    facts = item_targets(parse(TargetsJob, config), truth, targets)
    job.card(card, [truth], [targets], **facts)


script(__doc__, main, config=json.loads, truth=Path, targets=Path, card=Path)
