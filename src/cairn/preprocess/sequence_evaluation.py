"""The sequence model's report card: how often it is right, how often it answers, whether its confidence means it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cairn.cohort.draws import stream
from cairn.config.base import parse
from cairn.config.cohort import CohortConfig
from cairn.config.preprocess import UnknownSequences
from cairn.datasets.layouts.sequences import UNKNOWN
from cairn.io.atomic import write_bytes, write_json
from cairn.preprocess.sequence_features import features
from cairn.preprocess.sequence_model import OTHER, Answer, SequenceModel
from cairn.preprocess.sequence_strangers import strangers
from cairn.preprocess.sequence_training import Table, fit, held_out_table, training_table

THRESHOLDS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
BINS = 10
DRAWS = 5  # of each kind of stranger
NOTE = (
    "Heads, contrasts and scanners are made. The numbers say how the model carries over to people and sites of the "
    "embedded cohort that it never met, and no more: sequences that the cohort does not make (T1c, PD, perfusion, "
    "angiography) are taken for their nearest neighbour or stay unknown."
)


def train_and_judge(
    config: Mapping[str, Any], donors: Sequence[Path], held_out: Sequence[Path], model: Path, evaluation: Path,
    figure: Path,
) -> dict[str, Any]:  # fmt: skip
    """Fit the model, judge it, write both and a figure; facts for the card.

    Args:
        config: ``seed``, ``unknown_sequences`` (the section), ``sites`` and ``coarsen`` of the cohort.
        donors: donor files to learn from.
        held_out: donor files to judge by.
        model: where the model goes.
        evaluation: where its report card goes, JSON.
        figure: where its picture goes, PNG.

    Raises:
        CairnError: code ``config`` with fewer than two donors to learn from.
    """
    use = parse(UnknownSequences, config["unknown_sequences"])
    cohort = parse(CohortConfig, {"sites": config["sites"], "coarsen": config["coarsen"]})
    seed = int(config["seed"])
    learned = training_table(donors, seed, use.heads, use.voxel_mm)
    fitted = fit(learned, seed)
    judged = held_out_table(held_out, cohort, seed, 1, use.voxel_mm)
    found = judge(fitted, judged, use.confidence_min) | {
        "trained_on": {"scans": len(learned.sequence), "donors": sorted(set(learned.donor))},
        "strangers": judge_strangers(fitted, seed, use.confidence_min), "note": NOTE,
    }  # fmt: skip
    fitted.save(model)
    write_json(evaluation, found)
    write_bytes(figure, picture(found))
    return {name: found[name] for name in ("accuracy", "coverage", "accuracy_of_answers", "calibration_error")}


def judge(model: SequenceModel, table: Table, confidence_min: float) -> dict[str, Any]:
    """Accuracy, coverage, calibration and confusion of the model on a table of scans."""
    answers = [model.answer(row, confidence_min) for row in table.features]
    truth = np.array(table.sequence)
    likeliest = np.array([a.likeliest for a in answers])
    confidence = np.array([a.confidence for a in answers])
    near = np.array([a.distance <= 1 for a in answers])
    names = [c for c in model.classes if c != OTHER]
    said = np.array([a.sequence for a in answers])
    confusion = {t: {s: int(((truth == t) & (said == s)).sum()) for s in [*names, UNKNOWN]} for t in names}
    return {
        "scans": len(answers), "donors": sorted(set(table.donor)), "sites": sorted(set(table.site)),
        "confidence_min": confidence_min, "accuracy": _share(likeliest == truth),
        "coverage": _share(said != UNKNOWN), "accuracy_of_answers": _share((said == truth)[said != UNKNOWN]),
        "within_reach": _share(near), "calibration_error": round(_calibration_error(confidence, likeliest == truth), 4),
        "reliability": _reliability(confidence, likeliest == truth),
        "thresholds": [_at(t, answers, truth, near) for t in THRESHOLDS], "confusion": confusion,
        "by": {
            what: {g: _group(said, truth, np.array(column) == g) for g in sorted(set(column))}
            for what, column in (("sequence", table.sequence), ("site", table.site), ("form", table.form),
                                 ("donor", table.donor))
        },
    }  # fmt: skip


def judge_strangers(model: SequenceModel, seed: int, confidence_min: float) -> dict[str, Any]:
    """By kind of what is no head: how many were left unknown, of how many."""
    rng = stream(seed, "sequence-strangers")
    left: dict[str, list[bool]] = {}
    for _ in range(DRAWS):
        for one in strangers(rng):
            answer = model.answer(features(one.data, one.affine), confidence_min)
            left.setdefault(one.name, []).append(answer.sequence == UNKNOWN)
    return {kind: {"unknown": sum(values), "of": len(values)} for kind, values in sorted(left.items())}


def _share(values: Any) -> float | None:
    return round(float(np.mean(values)), 4) if len(values) else None


def _group(said: Any, truth: Any, chosen: Any) -> dict[str, Any]:
    answered = chosen & (said != UNKNOWN)
    return {
        "scans": int(chosen.sum()), "coverage": _share((said != UNKNOWN)[chosen]),
        "accuracy_of_answers": _share((said == truth)[answered]),
    }  # fmt: skip


def _at(threshold: float, answers: Sequence[Answer], truth: Any, near: Any) -> dict[str, Any]:
    given = near & np.array([a.confidence >= threshold and a.likeliest != OTHER for a in answers])
    right = np.array([a.likeliest for a in answers]) == truth
    return {"confidence_min": threshold, "coverage": _share(given), "accuracy_of_answers": _share(right[given])}


def _reliability(confidence: Any, right: Any) -> list[dict[str, Any]]:
    """By tenth of confidence: how many scans, their mean confidence, and how many were right."""
    at = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        {"scans": int((at == b).sum()), "confidence": _share(confidence[at == b]), "right": _share(right[at == b])}
        for b in range(BINS) if (at == b).any()
    ]  # fmt: skip


def _calibration_error(confidence: Any, right: Any) -> float:
    """Expected calibration error (Naeini et al. 2015): the mean gap of confidence and accuracy over the tenths."""
    at = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs(confidence[at == b].mean() - right[at == b].mean()) * (at == b).sum() for b in np.unique(at)]
    return float(sum(gaps) / len(confidence))


def picture(found: Mapping[str, Any]) -> bytes:
    """The confusion table, and confidence against accuracy; PNG."""
    from matplotlib.figure import Figure

    rows, columns = list(found["confusion"]), [*found["confusion"], UNKNOWN]
    counts = np.array([[found["confusion"][r][c] for c in columns] for r in rows], float)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.5, 1])
    left.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    left.set_xticks(range(len(columns)), columns, rotation=45)
    left.set_yticks(range(len(rows)), rows)
    left.set_xlabel(f"what the model says (confidence at least {found['confidence_min']})")
    left.set_ylabel("what the scan is")
    for (r, c), n in np.ndenumerate(counts.astype(int)):
        if n:
            left.text(c, r, str(n), ha="center", va="center", color="white" if shares[r, c] > 0.5 else "black")
    right.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    tenths = found["reliability"]
    right.plot([t["confidence"] for t in tenths], [t["right"] for t in tenths], marker="o")
    right.set_xlabel("confidence")
    right.set_ylabel("share that is right")
    right.set_title(f"calibration error {found['calibration_error']:.3f}")
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110, metadata={"Software": None})
    return out.getvalue()
