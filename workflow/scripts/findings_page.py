"""Write the findings page."""

from pathlib import Path

from cairn.provenance import Job, script
from cairn.report.findings import write_findings_page


def main(job: Job, findings: Path, cards: list[Path], page: Path, card: Path) -> None:
    write_findings_page(findings, cards, page)
    job.card(card, [findings, *cards], [page])


script(__doc__, main, findings=Path, cards=[Path], page=Path, card=Path)
