"""Make the items of a data set in one form, and their truth apart from them."""

import json
from pathlib import Path

from cairn.bench.beside import LABELS
from cairn.bench.items_from_shards import make_items
from cairn.config import parse
from cairn.config.bench import ItemsJob
from cairn.provenance import Job, script


def main(job: Job, config: dict, shards: list[Path], anatomies: list[Path], items, truth, pairs, card) -> None:
    facts = make_items(parse(ItemsJob, config), shards, anatomies, items, truth, pairs)
    maps = [truth.parent / LABELS] if facts["pairs"] else []
    job.card(card, [*shards, *anatomies], [items, truth, pairs, *maps], **facts)


one = dict.fromkeys(("items", "truth", "pairs", "card"), Path)
script(__doc__, main, config=json.loads, shards=[Path], anatomies=[Path], **one)
