"""Compare the scans of pretraining, fine-tuning and test by their perceptual hashes; stop nothing."""

import json
from pathlib import Path

from cairn.config import parse
from cairn.config.leakage import LeakageConfig
from cairn.datasets.leakage_report import leakage_text
from cairn.datasets.near_duplicates import find_near_duplicates
from cairn.io.atomic import write_json, write_text
from cairn.preprocess.scan_hash import mirror_mask
from cairn.provenance import Job, script


def main(job: Job, config: dict, hashes: list[Path], report: Path, text: Path, card: Path) -> None:
    found = find_near_duplicates(hashes, config["roles"], mirror_mask(), parse(LeakageConfig, config["leakage"]))
    write_json(report, found)
    write_text(text, leakage_text(found))
    job.card(card, hashes, [report, text])


script(__doc__, main, config=json.loads, hashes=[Path], report=Path, text=Path, card=Path)
