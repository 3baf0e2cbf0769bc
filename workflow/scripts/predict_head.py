"""Predict the test items of a task with one head. No target is among the arguments."""

import json
from pathlib import Path

from cairn.bench.beside import FIELDS
from cairn.bench.features import Features
from cairn.bench.predict import predict_head
from cairn.config import parse
from cairn.config.bench import HeadJob
from cairn.provenance import Job, script


def main(job: Job, config: dict, features: Path, form: str, model: Path, pairs: list[Path], predictions, card, threads):
    facts = predict_head(parse(HeadJob, config), Features(features, form), model, predictions, *pairs, threads=threads)
    fields = [predictions.parent / FIELDS] if pairs else []
    job.card(card, [features, model, *pairs], [predictions, *fields], **facts)


one = dict.fromkeys(("features", "model", "predictions", "card"), Path)
script(__doc__, main, config=json.loads, form=str, pairs=[Path], threads=int, **one)
