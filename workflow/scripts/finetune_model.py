"""Fine-tune one model on a task's labelled set, from an encoder if one is given."""

import json
from pathlib import Path

from cairn.baselines.dispatch import finetune
from cairn.provenance import Job, code_hash, script


def main(job: Job, config, shards, labels, weights, state, model, card, history, threads):
    facts = finetune(config, shards, labels, weights, state, model, history, threads, code_hash(job.script))
    job.card(card, [*shards, labels, *weights], [model, history], **facts)


script(
    __doc__, main, config=json.loads, shards=[Path], labels=Path, weights=[Path], state=Path, model=Path, card=Path,
    history=Path, threads=int,
)  # fmt: skip
