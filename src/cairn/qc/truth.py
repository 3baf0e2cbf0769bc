"""The embedded cohort knows where every brain and every scan lies; here the estimates are held against that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cairn.config.qc import QcConfig
from cairn.io.atomic import read_json
from cairn.io.nifti import read_mask
from cairn.preprocess.movement import movement
from cairn.qc.gather import Session


def compare(sessions: Iterable[Session], anatomies: Iterable[Path]) -> None:
    """Attach each session's comparison with the truth, where there is one.

    Args:
        sessions: what `cairn.qc.gather.gather` gives; their ``truth`` is filled.
        anatomies: ``truth/{dataset}/anatomy/{shard}.json``.
    """
    known: dict[tuple[str, str], tuple[Path, Mapping[str, Any]]] = {}
    for path in anatomies:
        root = path.parent.parent
        known |= {(root.name, key): (root, entry) for key, entry in read_json(path).items()}
    for session in sessions:
        if (session.dataset, session.key) in known:
            session.truth = _against(session, *known[session.dataset, session.key])


def _against(session: Session, root: Path, truth: Mapping[str, Any]) -> dict[str, Any]:
    numbers = session.numbers
    out: dict[str, Any] = {"site": truth["site"], "donor": truth["donor"], "dice": None, "motion": {}}
    if numbers["reference"] == truth["reference"] and numbers["strip"] != "none":  # else the mask is the head's
        found = read_mask(session.folder / numbers["native_mask"])
        out["dice"] = round(_dice(found, read_mask(root / truth["brain_mask"])), 4)
    motion = {name: np.array(m, float) for name, m in truth["motion"].items()}
    motion.setdefault(truth["reference"], np.eye(4))
    if numbers["reference"] not in motion:
        return out
    to_truth = np.linalg.inv(motion[numbers["reference"]])  # when another sequence served as reference
    for name, values in sorted(numbers["sequences"].items()):
        if "motion" in values and name in motion:
            mm, degrees = motion_error(np.array(values["motion"]), motion[name] @ to_truth, numbers["centre_mm"])
            out["motion"][name] = [round(mm, 3), round(degrees, 3)]
    return out


def motion_error(found: Any, truth: Any, centre: Sequence[float]) -> tuple[float, float]:
    """Distance (mm) between where two 4x4s put the brain's centre, and the angle between them in degrees."""
    point = np.array([*centre, 1.0])
    _, degrees = movement(found @ np.linalg.inv(truth), np.zeros(3))
    return float(np.linalg.norm(((found - truth) @ point)[:3])), degrees


def _dice(a: Any, b: Any) -> float:
    if a.shape != b.shape:
        return 0.0
    return float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))


def summary(sessions: Iterable[Session], limits: QcConfig) -> dict[str, Any]:
    """The comparison over all sessions, by data set and by site.

    A session's motion counts as recovered when every sequence of it is within both limits.
    """
    known = [s for s in sessions if s.truth is not None]
    groups: dict[str, dict[str, list[Session]]] = {"datasets": {}, "sites": {}}
    for s in known:
        assert s.truth is not None
        groups["datasets"].setdefault(s.dataset, []).append(s)
        groups["sites"].setdefault(str(s.truth["site"]), []).append(s)
    return {
        "limits": {
            "dice": limits.dice_min, "mm": limits.motion_error_mm, "degrees": limits.motion_error_degrees,
        },
        "all": _group(known, limits) if known else None,
        **{kind: {k: _group(v, limits) for k, v in sorted(g.items())} for kind, g in groups.items()},
        "sessions": {s.name: s.truth for s in known},
    }  # fmt: skip


def _group(sessions: Sequence[Session], limits: QcConfig) -> dict[str, Any]:
    truths = [s.truth for s in sessions if s.truth is not None]
    dice = np.array([t["dice"] for t in truths if t["dice"] is not None])
    moved = [np.array(list(t["motion"].values())) for t in truths if t["motion"]]
    errors = np.concatenate(moved) if moved else np.zeros((0, 2))
    recovered = [bool((m <= (limits.motion_error_mm, limits.motion_error_degrees)).all()) for m in moved]
    return {
        "sessions": len(truths),
        "masks": len(dice),
        "dice_mean": _round(dice.mean()) if dice.size else None,
        "dice_min": _round(dice.min()) if dice.size else None,
        "dice_below": _round((dice < limits.dice_min).mean()) if dice.size else None,
        "sessions_moved": len(moved),
        "pairs": len(errors),
        "mm_mean": _round(errors[:, 0].mean()) if moved else None,
        "mm_p95": _round(np.percentile(errors[:, 0], 95)) if moved else None,
        "mm_max": _round(errors[:, 0].max()) if moved else None,
        "degrees_mean": _round(errors[:, 1].mean()) if moved else None,
        "degrees_p95": _round(np.percentile(errors[:, 1], 95)) if moved else None,
        "degrees_max": _round(errors[:, 1].max()) if moved else None,
        "recovered": _round(np.mean(recovered)) if moved else None,
    }


def _round(value: Any) -> float:
    return round(float(value), 4)
