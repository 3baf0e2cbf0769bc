"""Model the tissues of one donor head out of its package."""

import json
from pathlib import Path

from cairn.cohort.donor import build_donor, save_donor
from cairn.config import parse
from cairn.config.cohort import DonorSource
from cairn.provenance import Job, script


def main(job: Job, config: dict, donor: str, voxel_mm: float, archive: Path, deepbet: Path, **to: Path) -> None:
    save_donor(to["out"], build_donor(donor, parse(DonorSource, config), archive, deepbet, voxel_mm))
    job.card(to["card"], inputs=[archive, deepbet], outputs=[to["out"]], donor=donor)


if __name__ == "__main__":
    paths = {"archive": Path, "deepbet": Path, "out": Path, "card": Path}
    script(__doc__, main, config=json.loads, donor=str, voxel_mm=float, **paths)
