"""What provenance costs: of a finished experiment, by stage; planning and checking it; planning with shards of 100 GB.

python docs/benchmarks/provenance.py demo config/demo.yaml

From the repository's folder. The shards are enlarged as sparse files for one plan, and then cut back.
"""

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

from cairn.provenance.lineage import read_lineage
from cairn.provenance.restore import restore


def seconds(*command: str) -> float:
    """Wall time of a command that must succeed."""
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or ("-n" in command and "Nothing to be done" not in done.stdout + done.stderr):
        sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
    return time.perf_counter() - began


def main(experiment: str, config: str) -> None:
    """Measure, and print tables."""
    results = Path("results") / experiment
    cards = list(read_lineage(results).cards.values())
    stages = defaultdict(list)
    for card in cards:
        stages[card["stage"]].append(card)
    print("| stage | jobs | wall s | provenance s | share |\n|---|---|---|---|---|")
    for name, found in [*stages.items(), ("all", cards)]:
        wall, cost = (sum(c[key] for c in found) for key in ("wall_s", "provenance_s"))
        print(f"| {name} | {len(found)} | {wall:.1f} | {cost:.2f} | {cost / max(wall, 0.01):.2%} |")
    sizes = {p: p.stat() for p in sorted((results / "preprocess").rglob("*.safetensors"))}
    plan = ("snakemake", "-n", "--configfile", config)
    lines = [("plan of the finished experiment", seconds(*plan))]
    began = time.perf_counter()
    found = restore(results, every=True)
    checked = f"cairn restore: {found.files:,} files, {found.size / 1e9:.1f} GB, every one hashed"
    lines.append((checked, time.perf_counter() - began))
    lines.append(("cairn restore again", seconds("cairn", "restore", "-e", experiment)))
    for path in sizes:
        os.truncate(path, 100 * 10**9 // len(sizes) + 1)
    lines.append((f"plan with {len(sizes)} shards of 100 GB in all, times new", seconds(*plan)))
    for path, stat in sizes.items():
        os.truncate(path, stat.st_size)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    lines.append(("dvc status", seconds("dvc", "status")) if Path("dvc.lock").exists() else ("no dvc.lock", 0.0))
    print("\n| what | s |\n|---|---|")
    for what, took in lines:
        print(f"| {what} | {took:.1f} |")
    print(f"\n{json.dumps(cards[-1]['hardware'])}, load {os.getloadavg()[0]:.1f}")


main(*sys.argv[1:])
