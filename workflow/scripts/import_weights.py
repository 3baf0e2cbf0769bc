"""Import one encoder from foreign weights."""

import json
from pathlib import Path

from cairn.nets.foreign import import_weights
from cairn.provenance import Job, script


def main(job: Job, config: dict, foreign: list[Path], mapping: list[Path], weights: Path, card: Path):
    facts = import_weights(config, foreign[0], mapping, weights)
    job.card(card, [*foreign, *mapping], [weights], **facts)


script(__doc__, main, config=json.loads, foreign=[Path], mapping=[Path], weights=Path, card=Path)
