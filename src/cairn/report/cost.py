"""What was run, on what, and how long it took: from the cards of all jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cairn.report.sources import Sources

Record = Mapping[str, Any]


def duration(seconds: float) -> str:
    """Seconds in words a person reads: ``42 s``, ``3 min 5 s``, ``2 h 10 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def stages(cards: Sequence[Record]) -> list[dict[str, str]]:
    """One line a stage, in the order of the cards, then the sum."""
    groups: dict[str, list[Record]] = {}
    for card in cards:
        groups.setdefault(str(card.get("stage", "?")), []).append(card)
    lines = [_line(stage.replace("_", " "), found) for stage, found in groups.items()]
    return [*lines, _line("all", cards)] if cards else []


def _line(stage: str, cards: Sequence[Record]) -> dict[str, str]:
    wall = [float(c.get("wall_s") or 0) for c in cards]
    memory = [float(c.get("peak_memory_mb") or 0) for c in cards]
    return {
        "stage": stage, "jobs": str(len(cards)), "total": duration(sum(wall)), "longest": duration(max(wall)),
        "memory": f"{max(memory) / 1024:.1f} GB",
    }  # fmt: skip


def hardware(cards: Sequence[Record]) -> list[str]:
    """The machines that the jobs ran on."""
    found = []
    for card in cards:
        facts = card.get("hardware") or {}
        words = [f"{facts.get('processor', 'unknown processor')}, {facts.get('cores', '?')} cores"]
        if facts.get("gpu"):
            words.append(str(facts["gpu"]))
        found.append("; ".join(words))
    return list(dict.fromkeys(found))


def versions(cards: Sequence[Record]) -> str:
    """Versions of the packages that the jobs ran with."""
    found: dict[str, str] = {}
    for card in cards:
        found |= {str(k): str(v) for k, v in (card.get("versions") or {}).items()}
    return ", ".join(f"{name} {version}" for name, version in sorted(found.items()))


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
