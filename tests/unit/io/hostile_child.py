"""Reads every hostile file in a process of its own; prints the fate, time and memory of each as JSON.

Usage: ``python hostile_child.py ROOT``, where ``hostile_files.make_all`` wrote.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from hostile_files import FILES, make_all

from cairn.errors import CairnError
from cairn.io.nifti import read_scan
from cairn.io.opening import refuse_outside, visible_name

NOBODY = 65534


def peak_mib(reset: bool = False) -> float:
    """The process's peak of resident memory since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def fate(path: Path, root: Path) -> dict[str, object]:
    """What becomes of one file when it is read as a shard's job does."""
    try:
        refuse_outside(path, root)
        scan = read_scan(path)
    except CairnError as error:
        return {"fate": "refused", "codes": [error.code], "reason": error.reason, "remedy": error.remedy}
    return {"fate": "repaired" if scan.repairs else "passes", "codes": [r.code for r in scan.repairs]}


def main(root: Path) -> None:
    paths = make_all(root)
    fate(paths["good"], root)  # what is imported on the way is no file's fault
    before = peak_mib(reset=True)
    bytearray(b"x" * (32 << 20))
    found: dict[str, dict[str, object]] = {"control": {"mib": peak_mib() - before}}  # the measure sees what is taken
    for name in FILES:
        path = Path(visible_name(str(paths[name])))
        before, start = peak_mib(reset=True), time.perf_counter()
        stranger = name == "unreadable" and os.geteuid() == 0  # nothing is unreadable to root
        if stranger:
            os.seteuid(NOBODY)
        found[name] = fate(path, root)
        if stranger:
            os.seteuid(0)
        found[name] |= {"seconds": time.perf_counter() - start, "mib": peak_mib() - before}
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
