"""Predict every session of a data set with one model; no label is read."""

import json
from pathlib import Path

from cairn.predict.run import predict
from cairn.provenance import Job, script


def main(job: Job, config: dict, shards: list[Path], model: Path, predictions: Path, card: Path, threads: int):
    facts = predict(config, shards, model, predictions, threads)
    job.card(card, [*shards, model], [predictions], **facts)


script(__doc__, main, config=json.loads, shards=[Path], model=Path, predictions=Path, card=Path, threads=int)
