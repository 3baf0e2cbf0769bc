"""One page for the quality of every session, and the comparison with the embedded cohort's truth."""

import json
from pathlib import Path

from cairn.config import parse
from cairn.config.qc import QcConfig
from cairn.provenance import Job, script
from cairn.qc.page import make_qc


def main(job: Job, config: dict, shards: list[Path], truth: list[Path], card: Path, **p: Path) -> None:
    limits, outputs = parse(QcConfig, config["qc"]), [p["page"], p["table"], p["truth_table"]]
    facts = make_qc(limits, config["experiment"], shards, truth, *outputs)
    job.card(card, [*shards, *truth], outputs, **facts)


if __name__ == "__main__":
    paths = {"page": Path, "table": Path, "truth_table": Path, "card": Path}
    script(__doc__, main, config=json.loads, shards=[Path], truth=[Path], **paths)
