"""The comparison of scans between the sides of a split, for reading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LISTED = 200
HOW = {"": "as it is", "mirrored": "in a mirror", "inverted": "dark for bright"}


def leakage_text(found: Mapping[str, Any]) -> str:
    """Markdown of what `cairn.datasets.near_duplicates.find_near_duplicates` returns."""
    limit = found["distance"]
    refused = sum(leak["refused"] for leak in found["leaks"])
    lines = [
        "# Near-duplicate scans between the sides of the split", "",
        f"Each scan has a perceptual hash of {found['bits']} bits, of its preprocessed volume. Two scans that differ "
        f"in at most {limit:.0%} of them count as one. Scans compared: "
        + ", ".join(f"{side} {count}" for side, count in found["scans"].items()) + ".", "",
        f"**{refused} pairs stop the workflow**, {len(found['leaks']) - refused} more are reported.", "",
    ]  # fmt: skip
    if found["leaks"]:
        lines += _table(found["leaks"][:LISTED], ("stops", lambda p: "yes" if p["refused"] else "no"))
        if len(found["leaks"]) > LISTED:
            lines += ["", f"{len(found['leaks']) - LISTED} more stand in the JSON beside this file."]
    for sides, summary in found["sides"].items():
        lines += ["", f"## {sides[0].upper()}{sides[1:]}: {summary['pairs']:,} pairs", ""]
        if not summary["pairs"]:
            lines.append("Nothing to compare.")
            continue
        lines += ["The nearest, leak or not:", "", *_table(summary["nearest"]), "", "All distances:", ""]
        lines += _histogram(summary["histogram"])
    lines += ["", "## Copies within one side", "", "They stop nothing; a scan that counts twice weighs twice.", ""]
    groups = [(side, group) for side, all_of in found["copies"].items() for group in all_of]
    lines += [f"- {side}: {', '.join(group)}" for side, group in groups[:LISTED]] or ["None."]
    lines += [f"- {side}: too many scans, not sought" for side in found["copies_not_sought"]]
    return "\n".join(lines) + "\n"


def _table(pairs: list[dict[str, Any]], *more: tuple[str, Any]) -> list[str]:
    head = ["distance", "compared", "one", "other", *(name for name, _ in more)]
    rows = [
        [f"{p['distance']:.3f}", HOW[p["look"]], *p["scans"], *(value(p) for _, value in more)] for p in pairs
    ]  # fmt: skip
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]


def _histogram(counts: list[int]) -> list[str]:
    width = 1 / len(counts)
    rows = [(i * width, count) for i, count in enumerate(counts) if count]
    return ["| from | pairs |", "| --- | --- |", *(f"| {low:.2f} | {count:,} |" for low, count in rows)]
