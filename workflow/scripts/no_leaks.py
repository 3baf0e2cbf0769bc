"""Stop when a scan of one side of the split is a near-duplicate of one of another."""

from pathlib import Path

from cairn.datasets.near_duplicates import require_disjoint
from cairn.io.atomic import read_json, write_json
from cairn.provenance import Job, script


def main(job: Job, subjects: Path, scans: Path, report: Path, card: Path) -> None:
    found = read_json(scans)
    require_disjoint(found)
    write_json(report, {"disjoint": True, "reported": len(read_json(subjects)["reported"]) + len(found["leaks"])})
    job.card(card, [subjects, scans], [report])


script(__doc__, main, subjects=Path, scans=Path, report=Path, card=Path)
