"""Labels of a data set in one table, checked: from the embedded cohort's shards, a table, or the FOMO label tree."""

from __future__ import annotations

import math
import os
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from pathlib import Path

from cairn.datasets.layouts.place import find_labels
from cairn.errors import CairnError
from cairn.io.atomic import sha256
from cairn.io.nifti import open_header, read_label_map
from cairn.io.tables import LABEL_COLUMNS, MISSING, read_table, write_table

MAX_AGE_YEARS = 130.0


def gather_labels(
    tables: Iterable[Path], kind: str, out: Path, base: Path | None = None, classes: Sequence[str] = ()
) -> None:
    """Join label tables (shards of the cohort, or one of your own) into ``out``; mask paths become relative to it.

    Args:
        tables: the tables.
        kind: the task's kind.
        out: the joined table.
        base: folder that the tables' mask paths start from; by default each table's own.
        classes: names of a task's several classes.

    Raises:
        CairnError: see `check_labels`.
    """
    rows = []
    for table in sorted(tables):
        for row in read_table(table, LABEL_COLUMNS):
            rows.append(row | {"mask": _relative(row["mask"], base or table.parent, out.parent)})
    rows.sort(key=lambda r: (r["subject"], r["session"]))
    check_labels(rows, kind, out, classes)
    _write(out, rows)


def fomo_labels(
    folder: Path, kind: str, mask_sequence: str, out: Path, classes: Sequence[str] = ()
) -> None:  # fmt: skip
    """Read FOMO's label tree: ``sub_X/ses_1/{label,labels}.txt`` or ``seg.nii.gz``, with or without the session folder.

    ``folder`` holds the subjects, or is the fine-tune set as downloaded, in which they lie under ``labels``.

    Raises:
        CairnError: when the folder is missing or holds no label; see also `check_labels`.
    """
    if not folder.is_dir():
        raise CairnError(f"{folder}: no such folder.", "Mend 'labels' of the data set in the configuration.", "missing")
    folder, rows = find_labels(folder), []
    for subject in sorted(p for p in folder.iterdir() if p.is_dir() and p.name.startswith(("sub_", "sub-"))):
        sessions = sorted(p for p in subject.iterdir() if p.is_dir() and p.name.startswith(("ses_", "ses-")))
        for session in sessions or [subject]:
            label = session.name[4:] if session != subject else "1"
            rows.append(_fomo_row(session, subject.name[4:], label, kind, mask_sequence, out.parent))
    if not rows:
        raise CairnError(f"{folder}: no label found.", "Labels lie there as sub_*/ses_*/label.txt.", "no-labels")
    check_labels(rows, kind, out, classes)
    _write(out, rows)


def label_files(source: Path) -> list[Path]:
    """The files that labels are read from: a table and the masks that it names, or those of FOMO's tree."""
    if source.is_dir():
        return sorted(p for p in find_labels(source).rglob("*") if p.name.startswith(("label", "seg")))
    masks = {source.parent / row["mask"] for row in read_table(source, LABEL_COLUMNS) if row["mask"] != MISSING}
    return [source, *sorted(masks)]


def _write(out: Path, rows: list[dict[str, str]]) -> None:
    """Write the table; each mask stands there by its hash too, so that a changed mask changes the table."""
    for row in rows:
        if row["mask"] != MISSING:
            row["mask_sha256"] = sha256(_beside(out, row["mask"]))
    write_table(out, rows, (*LABEL_COLUMNS, "mask_sha256"))


def _beside(table: Path, mask: str) -> Path:
    return Path(os.path.normpath(table.parent / mask))


def _fomo_row(folder: Path, subject: str, session: str, kind: str, mask_sequence: str, base: Path) -> dict[str, str]:
    row = {"subject": subject, "session": session, "value": MISSING, "mask": MISSING, "mask_sequence": MISSING}
    masks = [folder / n for n in ("seg.nii.gz", "seg.nii") if (folder / n).is_file()]
    texts = [folder / n for n in ("label.txt", "labels.txt") if (folder / n).is_file()]
    if kind == "segmentation" and masks:
        return row | {"mask": os.path.relpath(masks[0], base), "mask_sequence": mask_sequence}
    if kind != "segmentation" and texts:
        return row | {"value": texts[0].read_text().strip()}
    raise CairnError(f"{folder}: no label for a {kind} task.", "Add it, or remove the subject.", "no-label")


def _relative(mask: str, source: Path, target: Path) -> str:
    return mask if mask == MISSING else Path(os.path.relpath(source / mask, target)).as_posix()


def check_labels(rows: Iterable[dict[str, str]], kind: str, table: Path, classes: Sequence[str] = ()) -> None:
    """Refuse labels that no task can use.

    Raises:
        CairnError: for a session named twice, a value that is not 0 or 1 (classification), not an age in years
            (regression) or no number (probe), and a mask that is missing or not a 3D NIfTI file (segmentation), or that
            holds a label beyond its ``classes``.
    """
    seen = set()
    for row in rows:
        who = f"{table}: subject {row['subject']}, session {row['session']}"
        key = (row["subject"], row["session"])
        if key in seen:
            raise CairnError(f"{who} is labelled twice.", "Keep one row a session.", "duplicate")
        seen.add(key)
        if kind == "segmentation":
            if row["mask"] == MISSING:
                raise CairnError(f"{who} has no mask.", "A segmentation label is a NIfTI mask.", "no-label")
            if classes:
                read_label_map(_beside(table, row["mask"]), len(classes))
            else:
                open_header(_beside(table, row["mask"]))
        elif kind == "classification" and row["value"] not in ("0", "1", "0.0", "1.0"):
            raise CairnError(f"{who}: label '{row['value']}' is neither 0 nor 1.", "Mend the label.", "label")
        elif kind == "regression" and not 0 <= _number(row["value"]) <= MAX_AGE_YEARS:
            raise CairnError(f"{who}: '{row['value']}' is no age in years.", "Mend the label.", "label")
        elif kind == "probe" and _number(row["value"]) < 0:
            raise CairnError(f"{who}: '{row['value']}' is no class or value.", "Mend the label.", "label")


def class_of(value: float, classes: Sequence[str], edges: Sequence[float]) -> int:
    """The class of a label: the label itself, or the interval between ``edges`` that a number lies in.

    Raises:
        CairnError: for a label that is no class (code ``label``).
    """
    if edges and math.isfinite(value):
        return bisect_right(edges, value)
    if value not in range(len(classes)):
        known = f"0 to {len(classes) - 1} ({', '.join(classes)})"
        raise CairnError(f"label {value:g} is no class; there are {known}.", "Mend it, or set 'edges'.", "label")
    return int(value)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return -1.0
    return value if math.isfinite(value) else -1.0
