"""Run a sealed image on every session of a test set, each case in a sandbox of its own; it sees no label."""

import json
from pathlib import Path

from cairn.challenge.predict_entry import run_job
from cairn.provenance import Job, script


def main(job: Job, config, image, indexes, root, train_indexes, train_root, train_labels, state, predictions, card):
    read = train_indexes, train_root, train_labels
    known, made, facts = run_job(config, image, indexes, root, predictions, state, *read)
    job.card(card, [*indexes, *train_indexes, *train_labels], made, known, **facts)


paths = dict.fromkeys(("image", "root", "state", "predictions", "card"), Path)
lists = {name: [Path] for name in ("indexes", "train_indexes", "train_root", "train_labels")}
script(__doc__, main, config=json.loads, **paths, **lists)
