"""Predict every session of a data set with one model; no label is read."""

import json
from pathlib import Path

from cairn.predict.probe import EMBEDDINGS, MASKS
from cairn.predict.run import predict
from cairn.provenance import Job, script


def main(job: Job, config: dict, shards: list[Path], model: Path, predictions: Path, card: Path, threads: int):
    facts = predict(config, shards, model, predictions, threads)
    beside = [p for p in (predictions.parent / MASKS, predictions.parent / EMBEDDINGS) if p.exists()]
    job.card(card, [*shards, model], [predictions, *beside], **facts)


script(__doc__, main, config=json.loads, shards=[Path], model=Path, predictions=Path, card=Path, threads=int)
