"""Write the build context of one container entry: model, settings, code, recipes."""

import shutil
from pathlib import Path

from cairn.challenge.finished import bundle_of
from cairn.challenge.package import package
from cairn.provenance import Job, script


def main(job: Job, results, run, task, model, shards, packages, context, card):
    shutil.rmtree(context, ignore_errors=True)
    facts = package(bundle_of(results, run, task), context, Path())
    job.card(card, [model, *shards, *packages], [context], entry=facts)


script(
    __doc__, main, results=Path, run=str, task=str, model=Path, shards=[Path], packages=[Path], context=Path, card=Path
)
