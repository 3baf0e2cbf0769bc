"""Fit the head of one task on the features of one frozen encoder."""

import json
from pathlib import Path

from cairn.bench.features import Features
from cairn.bench.fit import fit_head
from cairn.config import parse
from cairn.config.bench import HeadJob
from cairn.provenance import Job, script


def main(job: Job, config: dict, features: Path, form: str, targets: Path, model: Path, card: Path, threads: int):
    facts = fit_head(parse(HeadJob, config), Features(features, form), targets, model, threads=threads)
    job.card(card, [features, targets], [model], **facts)


script(__doc__, main, config=json.loads, features=Path, form=str, targets=Path, model=Path, card=Path, threads=int)
