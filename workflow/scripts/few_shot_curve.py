"""Score a few-shot curve against the test targets, with the intervals of every other score."""

import json
from pathlib import Path

from cairn.bench.curve import few_shot_curve
from cairn.config import parse
from cairn.config.evaluate import EvaluateJob
from cairn.provenance import Job, script


def main(job: Job, config: dict, predictions: Path, labels: Path, curve: Path, card: Path) -> None:
    facts = few_shot_curve(parse(EvaluateJob, config), predictions, labels, curve)
    job.card(card, [predictions, labels], [curve], **facts)


script(__doc__, main, config=json.loads, **dict.fromkeys(("predictions", "labels", "curve", "card"), Path))
