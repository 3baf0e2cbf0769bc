"""Score one run on one task, all seeds: cases, metrics, intervals. The one job that reads test labels."""

import json
from pathlib import Path

from cairn.config import parse
from cairn.config.evaluate import EvaluateJob
from cairn.evaluate.scores import evaluate
from cairn.provenance import Job, script


def main(job: Job, config: dict, labels: Path, predictions: list[Path], cases: Path, scores: Path, card: Path) -> None:
    facts = evaluate(parse(EvaluateJob, config), labels, predictions, cases, scores)
    job.card(card, inputs=[labels, *predictions], outputs=[cases, scores], **facts)


script(__doc__, main, config=json.loads, labels=Path, predictions=[Path], cases=Path, scores=Path, card=Path)
