"""Gather the shard indexes of a data set into its manifest."""

from pathlib import Path

from cairn.datasets.index import write_manifest
from cairn.provenance import Job, script


def main(job: Job, indexes: list[Path], manifest: Path, card: Path) -> None:
    write_manifest(indexes, manifest)
    job.card(card, indexes, [manifest])


script(__doc__, main, indexes=[Path], manifest=Path, card=Path)
