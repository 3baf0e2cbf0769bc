"""Fit the head of one task on the features of one frozen encoder."""

import json
from pathlib import Path

from cairn.bench.features import Features
from cairn.bench.fit import fit_head
from cairn.config import parse
from cairn.config.bench import HeadJob
from cairn.provenance import Job, script


def main(job: Job, config: dict, form: str, features, targets, val_features, val_targets, model, card, threads: int):
    held = [Features(path, form) for path in val_features]
    given = Features(features, form), targets[0] if targets else None, model, *held, *val_targets
    facts = fit_head(parse(HeadJob, config), *given, threads=threads)
    job.card(card, [features, *targets, *val_features, *val_targets], [model], **facts)


paths = dict.fromkeys(("features", "model", "card"), Path)
paths |= {"targets": [Path], "val_features": [Path], "val_targets": [Path]}
script(__doc__, main, config=json.loads, form=str, threads=int, **paths)
