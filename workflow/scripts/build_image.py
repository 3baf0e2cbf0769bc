"""Build the image of one container entry by Apptainer."""

from pathlib import Path

from cairn.challenge.package import build
from cairn.provenance import Job, script


def main(job: Job, context, image, card):
    job.card(card, [context], [image], size_mb=round(build(context, image), 1))


script(__doc__, main, context=Path, image=Path, card=Path)
