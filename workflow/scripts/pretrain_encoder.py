"""Pretrain one encoder by a self-supervised objective, from its last state if there is one."""

import json
from pathlib import Path

from cairn.provenance import Job, code_hash, script
from cairn.train.pretrain import pretrain


def main(
    job: Job, config: dict, shards: list[Path], state: Path, weights: Path, card: Path, history: Path, threads: int
):
    facts = pretrain(config, shards, state, weights, history, threads, code_hash(job.script))
    job.card(card, shards, [weights, history], **facts)


script(__doc__, main, config=json.loads, shards=[Path], state=Path, weights=Path, card=Path, history=Path, threads=int)
