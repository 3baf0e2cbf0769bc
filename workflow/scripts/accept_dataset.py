"""Stop where too many scans of a data set are unusable; remove what its shards, now whole and recorded, kept."""

import json
from pathlib import Path

from cairn.io.atomic import write_json
from cairn.preprocess.accept import accept_dataset
from cairn.preprocess.kept import forget
from cairn.provenance import Job, script


def main(job: Job, config: dict, indexes: list[Path], quarantines: list[Path], states: list[Path], **p: Path) -> None:
    forget(states)
    write_json(p["accepted"], accept_dataset(indexes, quarantines, config["max_bad_share"]))
    job.card(p["card"], [*indexes, *quarantines], [p["accepted"]], shards=len(indexes))


lists = {"indexes": [Path], "quarantines": [Path], "states": [Path]}
script(__doc__, main, config=json.loads, **lists, accepted=Path, card=Path)
