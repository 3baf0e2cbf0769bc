"""Test FOMO25's findings on this experiment: pretraining, objective and task, size and duration."""

import json
from pathlib import Path

from cairn.config import parse
from cairn.config.findings import FindingsJob
from cairn.evaluate.findings import write_findings
from cairn.provenance import Job, script


def main(job: Job, config: dict, cases: list[Path], scores: list[Path], out: Path, card: Path) -> None:
    facts = write_findings(parse(FindingsJob, config), cases, scores, out)
    job.card(card, [*cases, *scores], [out], **facts)


script(__doc__, main, config=json.loads, cases=[Path], scores=[Path], out=Path, card=Path)
