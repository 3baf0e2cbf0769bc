"""Index one shard of a real data set."""

import json
from pathlib import Path

from cairn.datasets.index import index_shard
from cairn.provenance import Job, script


def main(job: Job, config: dict, root: Path, index: Path, card: Path) -> None:
    manifest = Path(config["manifest"]) if "manifest" in config else None
    where = (config["kind"], config["dataset"], config["shard"], config["shards"])
    scans = index_shard(root, *where, index, manifest)
    job.card(card, outputs=[index], known=scans, scans=len(scans))


script(__doc__, main, config=json.loads, root=Path, index=Path, card=Path)
