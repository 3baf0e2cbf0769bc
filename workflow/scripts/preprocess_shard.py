"""Preprocess one shard of sessions: raw scans in, one packed file out; sessions that are done already stay."""

import json
from dataclasses import astuple
from pathlib import Path

from cairn.config import parse
from cairn.config.preprocess import PreprocessConfig
from cairn.preprocess.resources import Resources
from cairn.preprocess.shard import ShardPaths, listed_scans, preprocess_shard
from cairn.provenance import Job, code_hash, script


def main(job: Job, config: dict, index: Path, root: Path, resources: Path, state: Path, card: Path, **p) -> None:
    model = p.pop("sequence_model")  # a list: of one, or empty
    paths, settings, code = ShardPaths(**p), parse(PreprocessConfig, config), code_hash(job.script)
    facts = preprocess_shard(index, root, settings, Resources(resources), paths, state, code, *model)
    read = [index, *Resources(resources).archives, *model]
    job.card(card, read, astuple(paths), known=listed_scans(index, root), **facts)


names = ("index", "root", "resources", "state", "shard", "shard_index", "quarantine", "hashes", "qc", "figures", "card")
script(__doc__, main, config=json.loads, sequence_model=[Path], **dict.fromkeys(names, Path))
