"""Build the image of one container entry by Apptainer."""

from pathlib import Path

from cairn.challenge.package import build
from cairn.provenance import Job, script


def main(job: Job, context, base, wheels, image, card):
    offline = (base[0], wheels[0]) if base else None
    job.card(card, [context, *base], [image], size_mb=round(build(context, image, offline), 1))


script(__doc__, main, context=Path, base=[Path], wheels=[Path], image=Path, card=Path)
