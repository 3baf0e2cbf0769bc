"""Write the build context of one container entry: model, settings, code, recipes."""

import shutil
from pathlib import Path

from cairn.challenge.bundle import bundle_of
from cairn.challenge.package import package
from cairn.provenance import Job, script


def main(job: Job, results: Path, run: str, task: str, model: Path, context: Path, card: Path) -> None:
    shutil.rmtree(context, ignore_errors=True)
    facts = package(bundle_of(results, run, task), context, Path())
    job.card(card, [model], [context], entry=facts)


script(__doc__, main, results=Path, run=str, task=str, model=Path, context=Path, card=Path)
