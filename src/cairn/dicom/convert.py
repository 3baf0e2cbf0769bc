"""A folder of DICOM files in any layout into a plain tree ``sub_*/ses_*/*.nii.gz``, series by series.

Series that are done are kept beside the job's state and taken over after an interruption. Nothing that is made holds a
name, a date or an identifier of the patient; what leads back from a table's row to a file stays in the state folder.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cairn.config.dicom import DicomConfig
from cairn.dicom.headers import Instance, Refused, files_below, pydicom, read_instance
from cairn.dicom.identity import Identities
from cairn.dicom.series import fault, group, sequence_of
from cairn.dicom.volume import NotConverted, convert_series, converter
from cairn.errors import CairnError
from cairn.io.atomic import read_json, write_json
from cairn.io.tables import write_table

COLUMNS = ("series", "subject", "session", "path", "files", "code", "reason", "remedy")
LOCAL_COLUMNS = ("series", "code", "file")
DONE = "converted"
ENVIRONMENT = ("resource", "disk")  # codes of errors that no series can be blamed for
NO_PATIENT = (
    "no-patient", "The series names no patient, so that nobody can say whom it shares with others.",
    "Name its StudyInstanceUID as patient_id in the table dicom.people.",
)  # fmt: skip


@dataclass(frozen=True)
class _Work:
    """What a series shall become: its key, and subject, session, sequence, or why not."""

    key: str
    files: Sequence[Instance]
    subject: str
    session: str
    sequence: str
    fault: tuple[str, str, str] | None


def convert_folder(
    root: Path, config: DicomConfig, identities: Identities, tree: Path, table: Path, state: Path, threads: int = 1
) -> dict[str, Any]:
    """Convert all series below ``root``.

    Args:
        root: folder of DICOM files.
        config: settings.
        identities: who is who.
        tree: folder that the scans go to, made anew.
        table: one row a series, good or refused, and one a kind of refused file; no path of the source is in it.
        state: kept series, and ``sources.tsv``, which leads from a row to its files; it stays on this machine.
        threads: converters at a time.

    Returns:
        Facts: counts by code, whose identifiers these are (see `Identities`), and versions.

    Raises:
        CairnError: code ``resource`` when the converter is missing; ``missing`` when the folder is.
    """
    converter()
    instances, refused = _read(root)
    works = [_work(series, config, identities) for series in group(instances)]
    state.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        outcomes = list(pool.map(lambda work: _convert(work, config, state), works))
    rows = _assemble(works, outcomes, tree, state)
    write_table(table, [*rows, *_file_rows(refused)], COLUMNS)
    write_table(state / "sources.tsv", _sources(works, rows, refused), LOCAL_COLUMNS)
    codes = [row["code"] for row in rows]
    return {
        "files": len(instances) + len(refused), "series": len(rows),
        "codes": {code: codes.count(code) for code in sorted(set(codes))},
        "name_space": identities.name_space, "people": identities.table,
        "pydicom": pydicom().__version__, "converter": Path(converter()).name,
    }  # fmt: skip


def _read(root: Path) -> tuple[list[Instance], list[Refused]]:
    found = [read_instance(path, root) for path in files_below(root)]
    return [f for f in found if isinstance(f, Instance)], [f for f in found if isinstance(f, Refused)]


def _work(series: Sequence[Instance], config: DicomConfig, identities: Identities) -> _Work:
    first = series[0]
    patient = first.patient or (first.study if first.study in identities.people else "")
    why = fault(series, config) or (None if patient else NO_PATIENT)
    subject = identities.subject(patient) if patient else ""
    return _Work(
        identities.series(first.series), series, subject, identities.session(first.study), sequence_of(series), why
    )  # fmt: skip


def _convert(work: _Work, config: DicomConfig, state: Path) -> tuple[str, str, str]:
    """Convert one series into its folder of the state, unless it is there; code, reason, remedy."""
    if work.fault is not None:
        return work.fault
    folder, key = state / work.key, _stamp(work, config)
    done = folder / "done.json"
    if done.is_file() and (kept := read_json(done))["key"] == key:
        return kept["outcome"][0], kept["outcome"][1], kept["outcome"][2]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        convert_series(work.files, folder / "scan.nii.gz", config.min_slices)
        outcome = (DONE, "", "")
    except NotConverted as error:
        outcome = (error.code, error.reason, error.remedy)
    except CairnError as error:
        if error.code in ENVIRONMENT:
            raise
        outcome = ("unusable", f"What the converter made of it is no usable volume ({error.code}).", error.remedy)
    except (MemoryError, OSError):
        raise  # the machine's fault, not the series': a rerun may succeed
    except Exception as error:
        outcome = ("internal", f"Unexpected {type(error).__name__} while converting.", "Report this with the header.")
    write_json(done, {"key": key, "outcome": outcome})
    return outcome


def _stamp(work: _Work, config: DicomConfig) -> str:
    files = [(str(i.path), (s := i.path.stat()).st_size, s.st_mtime_ns) for i in work.files]
    return hashlib.sha256(json.dumps([files, config.min_slices]).encode()).hexdigest()


def _assemble(
    works: Sequence[_Work], outcomes: Sequence[tuple[str, str, str]], tree: Path, state: Path
) -> list[dict[str, Any]]:
    """Make the tree of what is converted: a session's second T1 becomes ``t1_2``, in the order of its series' keys."""
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    taken: dict[tuple[str, str, str], int] = {}
    rows = []
    for work, (code, reason, remedy) in sorted(zip(works, outcomes, strict=True), key=lambda w: w[0].key):
        path = ""
        if code == DONE:
            place = (work.subject, work.session, work.sequence)
            taken[place] = number = taken.get(place, 0) + 1
            name = work.sequence + (f"_{number}" if number > 1 else "")
            path = f"sub_{work.subject}/ses_{work.session}/{name}.nii.gz"
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            for suffix in (".nii.gz", ".json"):
                shutil.copyfile(state / work.key / f"scan{suffix}", (tree / path).parent / f"{name}{suffix}")
        rows.append({
            "series": work.key, "subject": work.subject, "session": work.session, "path": path,
            "files": len(work.files), "code": code, "reason": reason, "remedy": remedy,
        })  # fmt: skip
    return rows


def _file_rows(refused: Iterable[Refused]) -> list[dict[str, Any]]:
    """Refused files, counted by code: they belong to no series."""
    by_code: dict[str, list[Refused]] = {}
    for one in refused:
        by_code.setdefault(one.code, []).append(one)
    return [
        {"files": len(them), "code": code, "reason": them[0].reason, "remedy": them[0].remedy}
        for code, them in sorted(by_code.items())
    ]


def _sources(
    works: Sequence[_Work], rows: Iterable[dict[str, Any]], refused: Iterable[Refused]
) -> list[dict[str, str]]:
    codes = {row["series"]: row["code"] for row in rows}
    found = [{"series": w.key, "code": codes[w.key], "file": str(w.files[0].path)} for w in works]
    return [*found, *({"series": "", "code": r.code, "file": str(r.path)} for r in refused)]
