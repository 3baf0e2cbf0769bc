"""Gather and check the labels of a data set."""

import json
from pathlib import Path

from cairn.datasets.labels import fomo_labels, gather_labels
from cairn.provenance import Job, script


def main(job: Job, config: dict, sources: list[Path], labels: Path, card: Path) -> None:
    classes = config.get("classes", ())
    if len(sources) == 1 and sources[0].is_dir():
        fomo_labels(sources[0], config["kind"], config["mask_sequence"], labels, classes)
    else:
        gather_labels(sources, config["kind"], labels, labels.parent if config["cohort"] else None, classes)
    job.card(card, sources, [labels])


script(__doc__, main, config=json.loads, sources=[Path], labels=Path, card=Path)
