"""From a session's numbers to flags: what a person should look at, in a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cairn.config.qc import QcConfig
from cairn.datasets.layouts import is_unknown
from cairn.io.codes import REPAIRED

Numbers = Mapping[str, Any]


@dataclass(frozen=True)
class Flag:
    """One finding: a stable code, the sequence (empty: the session), what was seen."""

    code: str
    sequence: str
    text: str


def session_flags(numbers: Numbers, limits: QcConfig) -> list[Flag]:
    """Flags of one session, the session's first, then by sequence.

    Args:
        numbers: a session's entry in ``{shard}.qc.json``.
        limits: the configured limits.
    """
    found = list(_brain(numbers, limits)) if numbers["strip"] != "none" else []
    found += _grid(numbers, limits)
    found += _names(numbers)
    for name, values in sorted(numbers["sequences"].items()):
        found += (Flag(code, name, text) for code, text in _sequence(values, limits))
        if "fit" in values:
            found += (Flag(code, name, text) for code, text in _registration(values, limits))
    return found


def _brain(n: Numbers, limits: QcConfig) -> Iterator[Flag]:
    low, high = limits.brain_ml
    if not low <= n["brain_ml"] <= high:
        yield Flag("brain-volume", "", f"The brain has {n['brain_ml']:.0f} ml; {low:.0f} to {high:.0f} are expected.")
    if n["template_dice"] < limits.template_dice_min:
        yield Flag("template-overlap", "", f"The brain overlaps the template's by Dice {n['template_dice']:.2f} only.")
    scales = n["template_scales"]
    if min(scales) < limits.scale[0] or max(scales) > limits.scale[1]:
        yield Flag(
            "template-scale", "", f"The affine to the template scales by {min(scales):.2f} to {max(scales):.2f}."
        )
    if n["cut_share"] > limits.cut_max:
        yield Flag("cut", "", f"{n['cut_share']:.1%} of the brain's surface lie on the border of the scan.")


def _grid(n: Numbers, limits: QcConfig) -> Iterator[Flag]:
    if n["outside_grid"] > limits.outside_grid_max:
        yield Flag("outside-grid", "", f"{n['outside_grid']:.1%} of the brain lie outside the grid; enlarge the box.")


def _names(n: Numbers) -> Iterator[Flag]:
    """Scans whose names tell no sequence, and what the image told."""
    said = n.get("classified", {})
    for name in sorted(n["sequences"]):
        if name not in said:
            if is_unknown(name):
                yield Flag("unknown-sequence", name, "The name tells no sequence, and nobody looked at the image.")
            continue
        one = said[name]
        sure = f"{one['likeliest']}, confidence {one['confidence']:.2f}"
        if is_unknown(one["sequence"]):
            yield Flag("unknown-sequence", name, f"Neither name nor image tells the sequence (likeliest: {sure}).")
        else:
            yield Flag("classified", name, f"The name ('{one['listed']}') tells no sequence; the image does: {sure}.")


def _sequence(n: Numbers, limits: QcConfig) -> Iterator[tuple[str, str]]:
    if n["coverage"] < limits.coverage_min:
        yield "coverage", f"The field of view covers {n['coverage']:.0%} of the brain."
    if n["blank_slices"] > limits.blank_slices_max:
        yield "blank-slices", f"{n['blank_slices']} slice(s) through the brain are blank."
    if n["saturated"] > limits.saturated_max:
        yield "saturated", f"{n['saturated']:.1%} of the brain are at the greatest value."
    if n["zeros"] > limits.zeros_max:
        yield "zeros", f"{n['zeros']:.1%} of the brain are exactly 0."
    if n["levels"] < limits.levels_min:
        yield "few-levels", f"The scan has {n['levels']} different values."
    if n["header_flip"]:
        yield "left-right", "The header's qform and sform put the patient's left on different sides."
    for repair in n.get("repairs", ()):
        if REPAIRED[repair["code"]].flagged and repair["code"] != "left-right":
            yield "repaired", f"{repair['code']}: {repair['text']}."


def _registration(n: Numbers, limits: QcConfig) -> Iterator[tuple[str, str]]:
    if n["fit"] < limits.registration_min:
        yield "registration", f"It shares next to no information with the reference ({n['fit']:.3f}, 1 is none)."
    if n["mirror_gain"] > limits.mirror_gain_max:
        yield (
            "left-right",
            f"It fits the reference better when left and right are exchanged (by {n['mirror_gain']:.4f}).",
        )
    if n["motion_mm"] > limits.motion_max_mm or n["motion_degrees"] > limits.motion_max_degrees:
        yield "motion", f"It lies {n['motion_mm']:.0f} mm and {n['motion_degrees']:.0f}° from the reference."
