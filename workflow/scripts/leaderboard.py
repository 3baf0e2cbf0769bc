"""Rank all runs: values, ranks and tiers with intervals, run against run, pretraining against none, stability."""

import json
from pathlib import Path

from cairn.config import parse
from cairn.config.evaluate import LeaderboardJob
from cairn.evaluate.leaderboard import leaderboard
from cairn.provenance import Job, script

FILES = {"cases": [Path], "scores": [Path], "csv": Path, "json": Path, "stability": Path, "card": Path}


def main(job: Job, config: dict, cases: list[Path], scores: list[Path], csv: Path, card: Path, **out: Path) -> None:
    facts = leaderboard(parse(LeaderboardJob, config), cases, scores, csv, out["json"], out["stability"])
    job.card(card, inputs=[*cases, *scores], outputs=[csv, *out.values()], **facts)


script(__doc__, main, config=json.loads, **FILES)
