"""Bring in the items of a data set in CuriaBench's published layout: images here, truth there."""

import json
from pathlib import Path

from cairn.bench.published import import_items
from cairn.config import parse
from cairn.config.bench import ImportItemsJob
from cairn.provenance import Job, script


def main(job: Job, config: dict, files: list[Path], items: Path, truth: Path, pairs: Path, card: Path) -> None:
    facts = import_items(parse(ImportItemsJob, config), files, items, truth, pairs)
    job.card(card, files, [items, truth, pairs], **facts)


script(__doc__, main, config=json.loads, files=[Path], **dict.fromkeys(("items", "truth", "pairs", "card"), Path))
