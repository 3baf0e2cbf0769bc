"""Print an experiment's cost by stage, from Snakemake's benchmark files; stages of little cost share the last line.

python docs/benchmarks/cost.py results/demo
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

LITTLE, OTHERS = 20.0, "all others"  # seconds of a stage
folder = Path(sys.argv[1]) / "benchmarks"
stages: dict[str, list[dict[str, float]]] = defaultdict(list)
for file in sorted(folder.rglob("*.jsonl")):
    stages[file.relative_to(folder).parts[0].removesuffix(".jsonl")].append(
        json.loads(file.read_text().splitlines()[0])
    )
print("| stage | jobs | seconds a job (median) | seconds in all | peak memory MB |\n|---|---|---|---|---|")
for stage in [name for name, jobs in stages.items() if sum(j["s"] for j in jobs) < LITTLE]:
    stages[OTHERS] += stages.pop(stage)
for stage, jobs in sorted(stages.items(), key=lambda item: (item[0] == OTHERS, -sum(j["s"] for j in item[1]))):
    seconds = sorted(j["s"] for j in jobs)
    peak = max(j["max_rss"] or 0 for j in jobs)
    print(f"| {stage} | {len(jobs)} | {seconds[len(seconds) // 2]:.0f} | {sum(seconds):.0f} | {peak:.0f} |")
