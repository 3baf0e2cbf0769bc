"""Make one shard of an embedded data set: raw scans, index, truth."""

import json
from pathlib import Path

from cairn.cohort.shard import make_shard
from cairn.config import parse
from cairn.config.cohort import CohortJob
from cairn.provenance import Job, script


def main(job: Job, config: dict, dataset: str, shard: int, shards: int, donors: list[Path], **p: Path) -> None:
    what = parse(CohortJob, config)
    made = make_shard(what.cohort, dataset, what.set, shard, shards, donors, p["raw"], p["truth"])
    job.card(p["card"], donors, made, dataset=dataset, shard=shard)


if __name__ == "__main__":
    paths = {"raw": Path, "truth": Path, "card": Path}
    script(__doc__, main, config=json.loads, dataset=str, shard=int, shards=int, donors=[Path], **paths)
