"""Convert one folder of DICOM files into a plain tree of scans."""

import json
from pathlib import Path

from cairn.config import parse
from cairn.config.dicom import DicomConfig
from cairn.dicom.convert import convert_folder
from cairn.dicom.identity import read_identities
from cairn.provenance import Job, script


def main(job: Job, config: dict, root: Path, tree: Path, state: Path, threads: int, table: Path, card: Path) -> None:
    settings = parse(DicomConfig, config)
    identities = read_identities(Path(settings.salt_file), Path(settings.people) if settings.people else None)
    facts = convert_folder(root, settings, identities, tree, table, state, threads)
    job.card(card, outputs=[table, tree], **facts)


names = ("root", "tree", "state", "table", "card")
script(__doc__, main, config=json.loads, threads=int, **dict.fromkeys(names, Path))
