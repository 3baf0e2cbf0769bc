"""Read a task's targets off the truth of items: for heads, and for evaluation, never for predictions."""

import json
from pathlib import Path

from cairn.bench.beside import LABELS, maps_of
from cairn.bench.targets import item_targets
from cairn.config import parse
from cairn.config.bench import TargetsJob
from cairn.provenance import Job, script


def main(job: Job, config: dict, truth: Path, targets: Path, card: Path) -> None:
    asked = parse(TargetsJob, config)
    facts = item_targets(asked, truth, targets)
    paired = asked.task.kind == "registration"
    read, made = ([truth.parent / LABELS], [maps_of(targets)]) if paired else ([], [])
    job.card(card, [truth, *read], [targets, *made], **facts)


script(__doc__, main, config=json.loads, truth=Path, targets=Path, card=Path)
