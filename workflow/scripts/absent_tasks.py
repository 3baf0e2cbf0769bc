"""List the tasks of CuriaBench whose data are not here, with how to get them."""

import json
from pathlib import Path

from cairn.bench.registry import absent_rows, read_registry
from cairn.io.atomic import write_json
from cairn.provenance import Job, script


def main(job: Job, config: dict, registry: Path, absent: Path, card: Path) -> None:
    rows = absent_rows(read_registry(registry), Path(config["root"]))
    write_json(absent, rows)
    job.card(card, [registry], [absent], absent=len(rows))


script(__doc__, main, config=json.loads, registry=Path, absent=Path, card=Path)
