"""Predict every session of a data set with one model; no label is read."""

import json
from pathlib import Path

from cairn.predict.run import MASKS, predict
from cairn.provenance import Job, script


def main(job: Job, config: dict, shards: list[Path], model: Path, predictions: Path, card: Path, threads: int):
    facts = predict(config, shards, model, predictions, threads)
    masks = predictions.parent / MASKS
    job.card(card, [*shards, model], [predictions, *([masks] if masks.is_dir() else [])], **facts)


script(__doc__, main, config=json.loads, shards=[Path], model=Path, predictions=Path, card=Path, threads=int)
