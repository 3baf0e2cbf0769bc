"""The runs of an experiment side by side: each task's metrics with intervals, overall rank, and what pretraining cost.

python docs/benchmarks/study.py results/study_cpu
"""

import json
import sys
from pathlib import Path

from cairn.report.words import number, span


def main(results: Path) -> None:
    """Print a table in the order of the leaderboard, and what the findings say."""
    board = json.loads((results / "leaderboard/leaderboard.json").read_text())
    metrics = [(t, m) for t in board["tasks"] for m in t["metrics"]]
    heads = [f"{t['title']} {m['title']}" for t, m in metrics]
    print(f"| run | overall rank | {' | '.join(heads)} | pretraining s |")
    print("|---|--:" + "|--:" * (len(heads) + 1) + "|")
    for row in board["rows"]:
        cells = []
        for task, metric in metrics:
            value = row["scores"][task["name"]]["metrics"][metric["name"]]
            digits = min(2, metric["decimals"]) if metric["unit"] else metric["decimals"]
            cells.append(f"{number(value['value'], digits)} ({span(value['low'], value['high'], digits)})")
        cards = [json.loads(p.read_text()) for p in (results / "pretrain" / row["run"]).glob("seed-*/run.json")]
        cost = f"{sum(c['wall_s'] for c in cards):.0f}" if cards else "–"
        rank = row["overall"]
        overall = f"{number(rank['value'], 2)} ({span(rank['low'], rank['high'], 2)})" if rank else "–"
        print(f"| {row['label']} | {overall} | {' | '.join(cells)} | {cost} |")


main(Path(sys.argv[1]))
