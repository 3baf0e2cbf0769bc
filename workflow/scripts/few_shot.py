"""Fit heads on shares of a task's training subjects, and predict its test items with each."""

import json
from pathlib import Path

from cairn.bench.features import Features
from cairn.bench.few_shot import few_shot_predictions
from cairn.config import parse
from cairn.config.bench import HeadJob
from cairn.provenance import Job, script


def main(
    job: Job, config: dict, features: Path, targets: Path, test: Path, forms: list[str], predictions, card, threads
):
    train, tested = (Features(path, form) for path, form in zip((features, test), forms, strict=True))
    facts = few_shot_predictions(parse(HeadJob, config), train, targets, tested, predictions, threads)
    job.card(card, [features, targets, test], [predictions], **facts)


one = dict.fromkeys(("features", "targets", "test", "predictions", "card"), Path)
script(__doc__, main, config=json.loads, forms=[str], threads=int, **one)
