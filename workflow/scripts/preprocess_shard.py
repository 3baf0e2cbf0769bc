"""Preprocess one shard of sessions: raw scans in, one packed file out."""

import json
from pathlib import Path

from cairn.config import parse
from cairn.config.preprocess import PreprocessConfig
from cairn.preprocess.resources import Resources
from cairn.preprocess.shard import ShardPaths, preprocess_shard
from cairn.provenance import Job, script


def main(job: Job, config: dict, index: Path, root: Path, resources: Path, card: Path, **p: Path) -> None:
    paths = ShardPaths(p["shard"], p["shard_index"], p["quarantine"], p["qc"], p["figures"])
    facts = preprocess_shard(index, root, parse(PreprocessConfig, config), Resources(resources), paths)
    job.card(card, [index], [paths.shard, paths.index, paths.quarantine, paths.qc], **facts)


if __name__ == "__main__":
    names = ("index", "root", "resources", "shard", "shard_index", "quarantine", "qc", "figures", "card")
    script(__doc__, main, config=json.loads, **dict.fromkeys(names, Path))
