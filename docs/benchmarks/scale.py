r"""How planning and listing grow with the number of scans. See scale.md.

python docs/benchmarks/scale.py manifest --scans 60529 --subjects 11187 --sessions 13900 \
    --out data/scale/fomo60k.parquet
python docs/benchmarks/scale.py table        # makes both manifests and a tree of 300,000 files, measures, prints

From the repository's folder. The tree lies in a temporary folder and is removed.
"""

import argparse
import csv
import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SEQUENCES = ("T1w", "T2w", "FLAIR", "DWI", "SWI", "ADC", "T2star", "PD")
SIZES = {  # scans, subjects, sessions, configuration files
    "fomo60k": (60_529, 11_187, 13_900, ("config/scale.yaml",)),
    "fomo300k": (306_207, 58_741, 81_195, ("config/scale.yaml", "config/scale_large.yaml")),
}
COLUMNS = ("dataset", "subject", "session", "sequence", "path", "sha256", "age", "sex", "site", "split")
TREE = 300_000


def scans_of(scans: int, subjects: int, sessions: int, first: int = 0) -> list[tuple[str, str, str]]:
    """Subject, session and sequence of made-up scans, in a real set's numbers; ``first`` counts the subjects on."""
    found = []
    for number in range(sessions):
        subject, session = number % subjects, number // subjects + 1
        share = scans * (number + 1) // sessions - scans * number // sessions
        for k in range(share):
            again = f"_{k // len(SEQUENCES) + 1}" if k >= len(SEQUENCES) else ""
            found.append((f"{first + subject:06d}", str(session), SEQUENCES[k % len(SEQUENCES)] + again))
    return found


def write_manifest(out: Path, scans: list[tuple[str, str, str]]) -> None:
    """A manifest with the columns of Cairn's own, Parquet or tab-separated."""
    rows = []
    for subject, session, sequence in scans:
        path = f"sub_{subject}/ses_{session}/{sequence.lower()}.nii.gz"
        digest = hashlib.sha256(path.encode()).hexdigest()
        rows.append(("fomo", subject, session, sequence, path, digest, str(20 + int(subject) % 60), "F", "A", "n/a"))
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".parquet":
        import pandas as pd

        pd.DataFrame(rows, columns=list(COLUMNS)).to_parquet(out, index=False)
        return
    with out.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows([COLUMNS, *rows])


def measured(*command: str) -> tuple[float, float, float, str]:
    """Wall s, processor s, peak memory in MB, and output of a command that must succeed.

    Byte code is kept beside the packages, as `make` has it, whatever the shell's setting is.
    """
    code = (
        "import json, resource, subprocess, sys, time\n"
        "began = time.perf_counter()\n"
        "done = subprocess.run(sys.argv[1:], capture_output=True, text=True)\n"
        "use = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "wall = time.perf_counter() - began\n"
        "print(json.dumps([done.returncode, wall, use.ru_utime + use.ru_stime, use.ru_maxrss / 1024,\n"
        "                  done.stdout + done.stderr]))"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = (sys.executable, "-c", code, *command)
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    status, wall, processor, memory, printed = json.loads(found.stdout)
    if status:
        sys.exit(printed[-3000:])
    return wall, processor, memory, printed


def plan(*configs: str) -> tuple[float, float, float, str]:
    """What `snakemake -n` costs, and prints."""
    return measured(sys.executable, "-m", "snakemake", "-n", "--quiet", "host", "--configfile", *configs)


def jobs(printed: str, rule: str = "total") -> int:
    """Number of planned jobs of a rule."""
    found = re.search(rf"^{rule}\s+(\d+)", printed, re.MULTILINE)
    return int(found[1]) if found else 0


def planning() -> None:
    """Rows of the table: a plan with a new manifest, the same again, and one with 1,000 more scans."""
    print(
        "| data set | scans | plan | wall s | processor s | peak MB | jobs | index jobs |\n"
        "|---|--:|---|--:|--:|--:|--:|--:|"
    )
    for name, (scans, subjects, sessions, configs) in SIZES.items():
        out, known = Path(f"data/scale/{name}.parquet"), scans_of(scans, subjects, sessions)
        write_manifest(out, known)
        state = Path("results") / ("scale" if len(configs) == 1 else "scale_large")
        shutil.rmtree(state, ignore_errors=True)
        said = []
        for what in ("manifest new", "again"):
            said.append((what, scans, *plan(*configs)))
        for what, count, wall, processor, memory, printed in said:
            cells = f"{wall:.1f} | {processor:.1f} | {memory:.0f} | {jobs(printed)} | {jobs(printed, 'index_shard')}"
            print(f"| {name} | {count:,} | {what} | {cells} |", flush=True)
        shutil.rmtree(state, ignore_errors=True)


def growing() -> None:
    """How many shards 1,000 new scans fall in, by the fingerprints that plans compare; one site's worth, and spread."""
    from cairn.datasets.manifest import ManifestListing

    with tempfile.TemporaryDirectory() as folder:
        for name, shards in (("fomo60k", 70), ("fomo300k", 200)):
            scans, subjects, sessions, _ = SIZES[name]
            table, met, known = Path(folder) / "m.tsv", Path(folder) / "met.json", scans_of(scans, subjects, sessions)
            prints = []
            for new in (0, 10, 1000):
                per = max(1, new // 5)
                write_manifest(table, known + (scans_of(new, per, per, first=900_000) if new else []))
                listing = ManifestListing(table, shards, met)
                prints.append({s: listing.fingerprint(s) for s in listing.shards})
            for new, now in zip((10, 1000), prints[1:], strict=True):
                moved = sum(now[s] != prints[0].get(s) for s in now)
                print(f"| {name} | {new:,} new scans of {max(1, new // 5):,} sessions | {moved} of {shards} shards |")


def tree() -> None:
    """Listing a tree of 300,000 empty files, and planning with it: first, again, and after one file's change."""
    from cairn.datasets.layouts import list_scans
    from cairn.datasets.listing import Listing

    folder = Path(tempfile.mkdtemp(prefix="cairn-scale-"))
    try:
        root, began = folder / "data", time.perf_counter()
        last = ""
        for subject, session, sequence in scans_of(TREE, 58_741, 81_195):
            at = f"{root}/sub_{subject}/ses_{session}"
            if at != last:
                os.makedirs(at, exist_ok=True)
                last = at
            os.close(os.open(f"{at}/{sequence.lower()}.nii.gz", os.O_CREAT))
        print(f"made {TREE:,} files in {time.perf_counter() - began:.0f} s", flush=True)
        print("| what | wall s | processor s | peak MB so far |\n|---|--:|--:|--:|")

        def row(what: str, began: tuple[float, float]) -> None:
            wall, processor = time.perf_counter() - began[0], time.process_time() - began[1]
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"| {what} | {wall:.1f} | {processor:.1f} | {peak:.0f} |", flush=True)

        now = time.perf_counter(), time.process_time()
        count = len(list_scans(root, "fomo60k"))
        row(f"list_scans: {count:,} files", now)
        for what in ("Listing, first", "Listing again", "Listing, one file changed"):
            if what.endswith("changed"):
                os.utime(next(root.glob("sub_000042/ses_1/*")), (1, 1))
            now = time.perf_counter(), time.process_time()
            Listing(root, "fomo60k", 200, folder / "tokens", folder / "met", folder / "index")
            row(what, now)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Make a manifest, or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("manifest", "plan", "grow", "tree", "table"))
    parser.add_argument("--out", type=Path, default=Path("data/scale/fomo60k.parquet"))
    for number, name in enumerate(("scans", "subjects", "sessions")):
        parser.add_argument(f"--{name}", type=int, default=SIZES["fomo60k"][number])
    given = parser.parse_args()
    if given.what == "manifest":
        write_manifest(given.out, scans_of(given.scans, given.subjects, given.sessions))
    for name, measure in (("plan", planning), ("grow", growing), ("tree", tree)):
        if given.what in (name, "table"):
            measure()
    if given.what != "manifest":
        print(f"\n{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")


main()
