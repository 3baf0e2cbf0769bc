"""Preprocess one shard of sessions: raw scans in, one packed file out; sessions that are done already stay."""

import json
from dataclasses import astuple
from pathlib import Path

from cairn.config import parse
from cairn.config.preprocess import PreprocessConfig
from cairn.preprocess.resources import Resources
from cairn.preprocess.shard import ShardPaths, listed_scans, preprocess_shard
from cairn.provenance import Job, code_hash, script


def main(job: Job, config: dict, index: Path, root: Path, resources: Path, state: Path, card: Path, **p: Path) -> None:
    paths, settings = ShardPaths(**p), parse(PreprocessConfig, config)
    facts = preprocess_shard(index, root, settings, Resources(resources), paths, state, code_hash(job.script))
    read = [index, *Resources(resources).archives]
    job.card(card, read, astuple(paths), known=listed_scans(index, root), **facts)


names = ("index", "root", "resources", "state", "shard", "shard_index", "quarantine", "hashes", "qc", "figures", "card")
script(__doc__, main, config=json.loads, **dict.fromkeys(names, Path))
