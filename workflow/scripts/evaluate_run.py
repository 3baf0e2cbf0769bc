"""Score one run on one task, all seeds: cases, metrics, intervals. The one job that reads test labels."""

import json
from pathlib import Path

from cairn.bench.beside import FIELDS, maps_of
from cairn.config import parse
from cairn.config.evaluate import EvaluateJob
from cairn.evaluate.scores import evaluate
from cairn.provenance import Job, script


def main(job: Job, config: dict, predictions: list[Path], people: list[Path], **p: Path) -> None:
    who = people[0] if people else None
    facts = evaluate(parse(EvaluateJob, config), p["labels"], predictions, p["cases"], p["scores"], who)
    labels = p["labels"]  # beside a registration's tables lie label maps and predicted fields
    folders = [maps_of(labels), *(path.parent / FIELDS for path in predictions)]
    read = [labels, *predictions, *people, *(folder for folder in folders if folder.is_dir())]
    job.card(p["card"], inputs=read, outputs=[p["cases"], p["scores"]], **facts)


paths = {"labels": Path, "predictions": [Path], "people": [Path], "cases": Path, "scores": Path, "card": Path}
script(__doc__, main, config=json.loads, **paths)
