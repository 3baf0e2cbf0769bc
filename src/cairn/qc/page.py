"""The page: one self-contained HTML file with every session's picture, numbers and flags."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from cairn.config.qc import QcConfig
from cairn.io.atomic import write_json, write_text
from cairn.io.tables import write_table
from cairn.qc.gather import Session, gather
from cairn.qc.truth import compare, summary

COLUMNS = (
    "dataset", "subject", "session", "shard", "site", "reference", "strip", "sequences", "flags", "brain_ml",
    "template_dice", "cut_share", "outside_grid", "worst_fit", "most_motion_mm", "most_motion_degrees",
    "truth_dice", "truth_motion_mm", "truth_motion_degrees",
)  # fmt: skip


def make_qc(
    limits: QcConfig, experiment: str, shards: Sequence[Path], truth: Sequence[Path], page: Path, table: Path,
    truth_table: Path,
) -> dict[str, Any]:  # fmt: skip
    """Gather all shards, compare with the truth, write the page and its tables.

    Args:
        limits: of the flags.
        experiment: its name, for the title.
        shards: ``preprocess/{dataset}/{shard}.index.tsv``.
        truth: ``truth/{dataset}/anatomy/{shard}.json`` of the embedded cohort; none for real data.
        page: HTML out.
        table: one row a session out.
        truth_table: the comparison with the truth out, JSON.

    Returns:
        Facts for the card.
    """
    sessions, quarantine = gather(shards, limits)
    compare(sessions, truth)
    compared = summary(sessions, limits)
    data = {
        "experiment": experiment,
        "sessions": [_entry(s) for s in sessions],
        "quarantine": quarantine,
        "truth": {k: v for k, v in compared.items() if k != "sessions"},
        "limits": limits.model_dump(mode="json"),
    }
    write_table(table, [_row(s) for s in sessions], COLUMNS)
    write_json(truth_table, compared)
    write_text(page, render(data))
    flagged = sum(bool(s.flags) for s in sessions)
    return {"sessions": len(sessions), "flagged": flagged, "quarantined": len(quarantine), "truth": compared["all"]}


def render(data: dict[str, Any]) -> str:
    """Fill the page's template; ``<`` in the data is escaped, so that no name can end the script element."""
    page = _part("page.html").replace("/*CSS*/", _part("page.css"), 1).replace("/*JS*/", _part("page.js"), 1)
    packed = json.dumps(data, sort_keys=True, allow_nan=False, ensure_ascii=False).replace("<", "\\u003c")
    return page.replace("/*DATA*/", packed, 1)


def _part(name: str) -> str:
    return files("cairn.qc").joinpath(name).read_text(encoding="utf-8")


def _entry(session: Session) -> dict[str, Any]:
    numbers = session.numbers
    picture = (session.folder / numbers["figure"]).read_bytes()
    return {
        "dataset": session.dataset, "key": session.key, "shard": session.shard,
        "site": (session.truth or {}).get("site") or numbers.get("site"),
        "numbers": {k: v for k, v in numbers.items() if k not in ("affine", "sha256", "centre_mm")},
        "flags": [{"code": f.code, "sequence": f.sequence, "text": f.text} for f in session.flags],
        "truth": session.truth,
        "picture": base64.b64encode(picture).decode(),
    }  # fmt: skip


def _row(session: Session) -> dict[str, Any]:
    numbers = session.numbers
    subject, visit = session.key.split("/")
    moved = [v for v in numbers["sequences"].values() if "fit" in v]
    truth = session.truth or {"dice": None, "motion": {}}
    errors = list(truth["motion"].values())
    return {
        "dataset": session.dataset, "subject": subject, "session": visit, "shard": session.shard,
        "site": numbers.get("site"), "sequences": ",".join(sorted(numbers["sequences"])),
        "flags": ",".join(sorted({f.code for f in session.flags})),
        **{k: numbers[k] for k in ("reference", "strip", "brain_ml", "template_dice", "cut_share", "outside_grid")},
        "worst_fit": min((v["fit"] for v in moved), default=None),
        "most_motion_mm": max((v["motion_mm"] for v in moved), default=None),
        "most_motion_degrees": max((v["motion_degrees"] for v in moved), default=None),
        "truth_dice": truth["dice"],
        "truth_motion_mm": max((e[0] for e in errors), default=None),
        "truth_motion_degrees": max((e[1] for e in errors), default=None),
    }  # fmt: skip
