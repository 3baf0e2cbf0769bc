"""What was run, on what, and how long it took: from the cards of all jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cairn.provenance import chain
from cairn.report.sources import Sources

Record = Mapping[str, Any]


def stages(cards: Sequence[Record]) -> list[dict[str, str]]:
    """One line a stage, in the order of the cards, then the sum."""
    groups: dict[str, list[Record]] = {}
    for card in cards:
        groups.setdefault(str(card.get("stage", "?")), []).append(card)
    lines = [_line(stage, found) for stage, found in groups.items()]
    return [*lines, _line("", cards)] if cards else []


def _line(stage: str, cards: Sequence[Record]) -> dict[str, str]:
    sums = chain.cost(cards)
    longest = max(float(c.get("wall_s") or 0) for c in cards)
    return {
        "name": stage, "stage": stage.replace("_", " ") or "all", "jobs": f"{sums.jobs:,}",
        "total": chain.duration(sums.wall_s), "longest": chain.duration(longest),
        "memory": chain.memory(sums.peak_memory_mb),
    }  # fmt: skip


def hardware(cards: Sequence[Record]) -> list[str]:
    """The machines that the jobs ran on."""
    return list(dict.fromkeys(chain.machine(card) for card in cards))


def versions(cards: Sequence[Record]) -> str:
    """Versions of the packages that the jobs ran with; a package that differed between them shows every version."""
    found: dict[str, dict[str, None]] = {}
    for card in cards:
        for name, version in card["environment"]["packages"].items():
            found.setdefault(str(name), {})[str(version)] = None
    return ", ".join(f"{name} {' and '.join(versions)}" for name, versions in sorted(found.items()))


def datasets(sources: Sources) -> list[dict[str, str]]:
    """One line a data set: what it is and how large."""
    counted = {p.parent.name: _count(p) for p in sources.manifests}
    return [_dataset(name, section, counted.get(name)) for name, section in sources.job.datasets.items()]


def _dataset(name: str, section: Record, counted: tuple[int, int, int] | None) -> dict[str, str]:
    made = section.get("cohort") or {}
    subjects = made.get("subjects") or (made.get("positives") or 0) + (made.get("negatives") or 0)
    what = f"embedded cohort: {made.get('role', '')}" if section.get("kind") == "cohort" else str(section.get("kind"))
    if made.get("positives") or made.get("negatives"):
        what += f" ({made.get('positives', 0)} with, {made.get('negatives', 0)} without)"
    cells = [f"{n:,}" for n in counted] if counted else [str(subjects or "–"), "–", "–"]
    sites = ", ".join(map(str, made.get("sites") or [])) or str(section.get("root") or "–").rsplit("/", 1)[-1]
    return {
        "name": name, "what": what, "use": str(made.get("split") or "–"), "sites": sites,
        "subjects": cells[0], "sessions": cells[1], "scans": cells[2],
    }  # fmt: skip


def _count(manifest: Path) -> tuple[int, int, int]:
    """Subjects, sessions and scans of a manifest."""
    from pyarrow import parquet

    rows = parquet.ParquetFile(manifest).read(columns=["subject", "session"]).to_pylist()
    sessions = {(r["subject"], r["session"]) for r in rows}
    return len({s for s, _ in sessions}), len(sessions), len(rows)
