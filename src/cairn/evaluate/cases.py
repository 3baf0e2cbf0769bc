"""Cases: every labelled test session against its prediction, with what is wrong with the prediction by name.

An invalid prediction counts as the worst there is for its case, so that leaving a case out never pays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cairn.config.evaluate import EvaluateConfig
from cairn.datasets.labels import check_labels, class_of
from cairn.datasets.targets import read_targets, target_columns
from cairn.errors import CairnError
from cairn.evaluate.classes import (
    EVENT,
    class_parts,
    finding_parts,
    mask_parts,
    mean_part,
    named_class,
    read_scores,
    worst_mask,
    worst_scores,
)
from cairn.evaluate.metrics import dice, nsd
from cairn.io.atomic import sha256
from cairn.io.grids import GRID_TOLERANCE_MM, corner_shift_mm
from cairn.io.nifti import open_header, read_label_map
from cairn.io.tables import MISSING, PREDICTION_COLUMNS, read_table

Key = tuple[str, str]
OK = "ok"
TARGETS = ("survival", "findings", "registration")
"""Kinds whose targets are no single value and no mask."""


@dataclass(frozen=True)
class Case:
    """One test session: what is true, what counts as predicted, and ``ok`` or why the prediction is invalid."""

    subject: str
    session: str
    status: str
    label: float | None = None
    prediction: float | None = None
    dice: float | None = None
    nsd: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    """What belongs to single classes, where there are several (`cairn.evaluate.classes`); of survival ``event``."""

    @property
    def key(self) -> Key:
        """Subject and session."""
        return self.subject, self.session


def read_labels(path: Path, kind: str, classes: Sequence[str] = ()) -> dict[Key, dict[str, str]]:
    """Labels of the test sessions, sorted by subject and session.

    Raises:
        CairnError: for a label that the task cannot use, and for an empty table.
    """
    own = kind in TARGETS
    rows = read_targets(path, kind, classes) if own else read_table(path, target_columns(kind))
    if not rows:
        raise CairnError(f"{path}: no labelled session.", "A test set needs labels.", "no-labels")
    if not own:
        check_labels(rows, kind, path, classes)
    return {(r["subject"], r["session"]): r for r in sorted(rows, key=lambda r: (r["subject"], r["session"]))}


def read_predictions(path: Path, known: Mapping[Key, object]) -> dict[Key, dict[str, str]]:
    """Predictions of the labelled sessions, by subject and session; a test set may hold more sessions than labels.

    Raises:
        CairnError: for a session with two predictions.
    """
    found: dict[Key, dict[str, str]] = {}
    for row in read_table(path, PREDICTION_COLUMNS):
        key = row["subject"], row["session"]
        who = f"{path}: subject {key[0]}, session {key[1]}"
        if key not in known:
            continue
        if key in found:
            raise CairnError(f"{who} is predicted twice.", "Keep one row a session.", "duplicate")
        found[key] = row
    return found


def score_cases(
    labels: Path, predictions: Path, kind: str, config: EvaluateConfig, classes: Sequence[str] = (),
    edges: Sequence[float] = (),
) -> list[Case]:  # fmt: skip
    """Score one table of predictions against the labels, one case a labelled session, sorted.

    Args:
        labels: the labels.
        predictions: the predictions.
        kind: the task's kind.
        config: how to score.
        classes: names of a task's several classes.
        edges: where classes of a number end.

    Raises:
        CairnError: what `read_labels` and `read_predictions` raise. An invalid prediction is no error: it is reported
            in the case's status and counts as the worst.
    """
    truth = read_labels(labels, kind, classes)
    given = read_predictions(predictions, truth)
    if kind == "segmentation":
        roots = labels.parent, predictions.parent
        return [_mask_case(k, r, given.get(k), *roots, config, classes) for k, r in truth.items()]
    if kind == "probe":
        return [_class_case(k, r, given.get(k), classes, edges) for k, r in truth.items()]
    if kind == "survival":
        return [_survival_case(k, r, given.get(k)) for k, r in truth.items()]
    if kind == "findings":
        return [_findings_case(k, r, given.get(k), classes) for k, r in truth.items()]
    if kind == "registration":
        return [_warp_case(k, r, given.get(k), labels.parent, predictions.parent, classes) for k, r in truth.items()]
    values = {key: float(row["value"]) for key, row in truth.items()}
    high = 1.0 if kind == "classification" else config.max_age_years
    worst = _opposite(values, kind, config.worst_error_years)
    cases = []
    for key, label in values.items():
        status, value = _checked_value(given.get(key), high)
        prediction = value if status == OK else worst[key]
        cases.append(Case(*key, status=status, label=label, prediction=prediction))
    return cases


def _opposite(values: Mapping[Key, float], kind: str, error: float) -> dict[Key, float]:
    """The worst prediction of every case.

    An age is missed by ``error`` years towards the other side of the mean, so that the correlation suffers as well.
    """
    if kind == "classification":
        return {key: 1.0 - label for key, label in values.items()}
    centre = sum(values.values()) / len(values)
    return {key: label - error if label >= centre else label + error for key, label in values.items()}


def _checked_value(row: Mapping[str, str] | None, high: float, low: float = 0.0) -> tuple[str, float]:
    """``ok`` and the value, or the reason why there is none."""
    status = _status(row)
    if row is None or status != OK:
        return status, math.nan
    try:
        value = float(row["value"])
    except ValueError:
        return "not-a-number", math.nan
    if not math.isfinite(value):
        return "not-finite", math.nan
    return (OK, value) if low <= value <= high else ("out-of-range", math.nan)


def _status(row: Mapping[str, str] | None) -> str:
    if row is None:
        return "missing"
    return row["status"] if row["status"] != MISSING else "no-status"


def _mask_case(
    key: Key, label: Mapping[str, str], row: Mapping[str, str] | None, truth_root: Path, root: Path,
    config: EvaluateConfig, classes: Sequence[str],
) -> Case:  # fmt: skip
    truth_path = truth_root / label["mask"]
    most = len(classes) or 255
    status = _status(row)
    if row is not None and status == OK:
        status = _mask_status(row, root, truth_path, most)
    if row is None or status != OK:
        return Case(*key, status=status, dice=0.0, nsd=0.0, parts=worst_mask(classes))
    truth, predicted = read_label_map(truth_path, most), read_label_map(root / row["mask"], most)
    spacing = [float(v) for v in np.linalg.norm(open_header(truth_path)[2][:3, :3], axis=0)]
    if classes:
        parts = mask_parts(predicted, truth, spacing, classes, config)
        return Case(*key, status=OK, dice=mean_part(parts, "dice"), nsd=mean_part(parts, "nsd"), parts=parts)
    return Case(
        *key, status=OK, dice=dice(predicted, truth, config.dice_both_empty),
        nsd=nsd(predicted, truth, spacing, config.nsd_tolerance_mm, config.nsd_both_empty),
    )  # fmt: skip


def _class_case(
    key: Key, label: Mapping[str, str], row: Mapping[str, str] | None, classes: Sequence[str], edges: Sequence[float]
) -> Case:
    try:
        true = class_of(float(label["value"]), classes, edges)
    except CairnError as error:
        who = f"subject {key[0]}, session {key[1]}"
        raise CairnError(f"{who}: {error.reason}", error.remedy, error.code) from None
    status = _status(row)
    scores: list[float] = []
    if row is not None and status == OK:
        status, scores = read_scores(row["value"], classes)
    if status != OK:
        scores = worst_scores(true, classes)
    named = float(named_class(scores))
    return Case(*key, status=status, label=float(true), prediction=named, parts=class_parts(scores, classes))


def _survival_case(key: Key, target: Mapping[str, str], row: Mapping[str, str] | None) -> Case:
    """Time and event against a risk of any scale. Without a valid risk the case loses every pair that it is in."""
    status, risk = _checked_value(row, math.inf, -math.inf)
    event = {EVENT: float(target["event"])}
    return Case(
        *key, status=status, label=float(target["time"]), prediction=risk if status == OK else None, parts=event
    )


def _findings_case(
    key: Key, target: Mapping[str, str], row: Mapping[str, str] | None, findings: Sequence[str]
) -> Case:  # fmt: skip
    """Every finding against its probability; an invalid prediction is the opposite of each."""
    true, status, scores = [float(target[name]) for name in findings], _status(row), [0.0]
    if row is not None and status == OK:
        status, scores = read_scores(row["value"], findings, exclusive=False)
    if status != OK:
        scores = [1.0 - value for value in true]
    return Case(*key, status=status, parts=finding_parts(scores, true, findings))


def _warp_case(
    key: Key, target: Mapping[str, str], row: Mapping[str, str] | None, truth_root: Path, root: Path,
    structures: Sequence[str],
) -> Case:  # fmt: skip
    """Mean Dice of the structures after the predicted displacement field has warped one label map onto the other."""
    from cairn.bench.registration import registration_dice

    maps = truth_root / target["mask"]
    if target.get("mask_sha256", MISSING) not in (MISSING, sha256(maps)):
        raise CairnError(f"{maps}: not the label maps that the targets name.", "Make the targets again.", "altered")
    status = _status(row)
    if row is not None and status == OK:
        status = _file_status(row, root)
    if row is None or status != OK:
        return Case(*key, status=status, dice=0.0, parts={f"dice_{name}": 0.0 for name in structures})
    try:
        found = registration_dice(maps, root / row["mask"])
    except CairnError as error:
        return Case(*key, status=error.code, dice=0.0, parts={f"dice_{name}": 0.0 for name in structures})
    if len(found) != len(structures):
        raise CairnError(
            f"{maps}: label maps of {len(found)} structures, not {len(structures)}.",
            "Name those in 'classes' of the task.", "label",
        )  # fmt: skip
    parts = {f"dice_{name}": value for name, value in zip(structures, found, strict=True)}
    return Case(*key, status=OK, dice=float(np.mean(found)), parts=parts)


def _file_status(row: Mapping[str, str], root: Path) -> str:
    """``ok``, or what is wrong with a predicted file: gone, or altered."""
    path = root / row["mask"]
    if row["mask"] == MISSING or not path.is_file():
        return "no-mask"
    return OK if sha256(path) == row["mask_sha256"] else "mask-altered"


def _mask_status(row: Mapping[str, str], root: Path, truth: Path, most: int) -> str:
    """``ok``, or what is wrong with a predicted mask: gone, altered, unreadable, on another grid, of unknown labels."""
    path, status = root / row["mask"], _file_status(row, root)
    if status != OK:
        return status
    try:
        _, shape, affine = open_header(path)
        read_label_map(path, most)
    except CairnError as error:
        return error.code
    _, wanted_shape, wanted_affine = open_header(truth)
    if shape != wanted_shape:
        return "wrong-shape"
    return OK if corner_shift_mm(shape, affine, wanted_affine) <= GRID_TOLERANCE_MM else "wrong-grid"
