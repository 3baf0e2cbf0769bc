"""Fit the plain baseline to permuted training labels; stop when it scores better or worse than chance on the test."""

import json
from pathlib import Path

from cairn.evaluate.canary import label_canary
from cairn.io.atomic import write_json
from cairn.provenance import Job, script


def main(job: Job, config: dict, shards: list[Path], test_shards: list[Path], **p: Path) -> None:
    write_json(p["report"], label_canary(config, shards, p["labels"], test_shards, p["test_labels"]))
    job.card(p["card"], [*shards, p["labels"], *test_shards, p["test_labels"]], [p["report"]])


paths = dict.fromkeys(("labels", "test_labels", "report", "card"), Path)
script(__doc__, main, config=json.loads, shards=[Path], test_shards=[Path], **paths)
