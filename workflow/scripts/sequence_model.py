"""Train the model that tells the sequence of a scan, and judge it on donors and sites that it never met."""

import json
from pathlib import Path

from cairn.preprocess.sequence_evaluation import train_and_judge
from cairn.provenance import Job, script


def main(job: Job, config: dict, donors: list[Path], held_out: list[Path], card: Path, **to: Path) -> None:
    facts = train_and_judge(config, donors, held_out, to["model"], to["evaluation"], to["figure"])
    job.card(card, [*donors, *held_out], [to["model"], to["evaluation"], to["figure"]], **facts)


names = ("model", "evaluation", "figure", "card")
script(__doc__, main, config=json.loads, donors=[Path], held_out=[Path], **dict.fromkeys(names, Path))
