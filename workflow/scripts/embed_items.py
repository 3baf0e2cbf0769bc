"""Embed the items of a data set, in all their forms, with one frozen encoder."""

import json
from pathlib import Path

from cairn.bench.embed import embed_items
from cairn.config import parse
from cairn.config.bench import EmbedJob
from cairn.provenance import Job, script


def main(job: Job, config: dict, items: list[Path], weights: list[Path], features, card, threads) -> None:
    sets = {path.parent.name: path for path in items}
    facts = embed_items(parse(EmbedJob, config), sets, weights, features, threads)
    job.card(card, [*items, *weights], [features], **facts)


script(__doc__, main, config=json.loads, items=[Path], weights=[Path], features=Path, card=Path, threads=int)
