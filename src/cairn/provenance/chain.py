"""What a chain says, whoever shows it: stages in order, names of jobs, raw files, environment, hardware, cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from cairn.provenance.cards import CARD
from cairn.provenance.lineage import Lineage, Source, Step

RESULTS = "results"
RESOURCES = f"{RESULTS}/resources/"
SCANS = (".nii", ".nii.gz")
NO_SOURCE = "brain_mask."
"""The cohort's true brain masks are read by the quality page alone: no number rests on them."""


@dataclass(frozen=True)
class Group:
    """The jobs of one stage in a chain, by name."""

    stage: str
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Cost:
    """What a number of jobs cost together."""

    jobs: int
    wall_s: float
    cpu_s: float
    peak_memory_mb: float
    """Of the largest job."""


def by_stage(lineage: Lineage, steps: Iterable[Step]) -> list[Group]:
    """The jobs of a chain by stage, from the number to the raw files: no stage reads from one before it."""
    height = heights(lineage)
    groups: dict[str, list[Step]] = {}
    for step in steps:
        groups.setdefault(str(step.facts["stage"]), []).append(step)
    order = sorted(groups, key=lambda s: (-max(height[step.card] for step in groups[s]), s))
    return [Group(s, tuple(sorted(groups[s], key=lambda step: step.card))) for s in order]


def heights(lineage: Lineage) -> dict[str, int]:
    """How many jobs lie between each card and its farthest raw file."""
    makers, found = lineage.makers, dict[str, int]()

    def height(card: str) -> int:
        if card not in found:
            found[card] = 0  # a file that is its own source ends here
            below = {makers[name] for name in lineage.cards[card]["inputs"] if name in makers}
            found[card] = 1 + max((height(other) for other in sorted(below)), default=-1)
        return found[card]

    for card in lineage.cards:
        height(card)
    return found


def job_name(card: str) -> str:
    """What a job is called: its card's path, without the folder of results and without ``run.json``."""
    parts = PurePosixPath(card.removesuffix(CARD).rstrip("./")).parts
    if RESULTS not in parts:
        return "/".join(parts)
    below = parts[parts.index(RESULTS) + 1 :]
    return "/".join(below[1:] if len(below) > 1 and below[0] != "resources" else below)


def beginnings(steps: Iterable[Step]) -> dict[str, str]:
    """SHA-256, by path, of the raw files that a chain begins with."""
    return dict(sorted((path, digest) for step in steps for path, digest in brought(step).items()))


def brought(step: Step) -> dict[str, str]:
    """SHA-256, by path, of the raw files that a job brings in.

    They are the files that no job made, the packages that a job fetched, and, of the embedded cohort, scans and
    lesion masks: a job makes these, but who asks for raw files means them.
    """
    found = {s.path: s.sha256 for s in step.sources if s.state == "raw" and not is_hole(s, step.card)}
    return found | {p: digest for p, digest in step.facts["outputs"].items() if is_beginning(p, step.facts)}


def bringing(steps: Sequence[Step]) -> dict[str, dict[str, str]]:
    """Raw files, by the card of the job that brings them in; of several that read one, the nearest to the raw end.

    Args:
        steps: from the number to the raw files, as `by_stage` orders them.
    """
    found: dict[str, dict[str, str]] = {}
    seen: set[str] = set()
    for step in reversed(steps):
        files = {path: digest for path, digest in brought(step).items() if path not in seen}
        seen.update(files)
        if files:
            found[step.card] = files
    return dict(reversed(found.items()))


def sources(step: Step) -> list[Source]:
    """What a job read: first what jobs made, then raw files, scans last, for they are many."""
    return sorted(step.sources, key=lambda s: (s.path.endswith(SCANS), s.state == "raw", s.path))


def is_beginning(path: str, card: Mapping[str, Any]) -> bool:
    """Whether a file that a job made is a raw file all the same: fetched, or a scan of the embedded cohort."""
    if card["stage"] == "cohort_shard":
        return path.endswith(SCANS) and NO_SOURCE not in path
    return bool(card["stage"] == "fetch_package")


def is_hole(source: Source, card: str) -> bool:
    """Whether a chain breaks off here: a file of the experiment that no card accounts for is no raw file.

    Args:
        source: what a job read.
        card: path of that job's card.
    """
    experiment = "/".join(PurePosixPath(card).parts[:2]) + "/"
    return source.state == "raw" and source.path.startswith((experiment, RESOURCES))


def altered(steps: Iterable[Step]) -> list[tuple[Step, Source]]:
    """Every file that a job read and that its maker had written otherwise, with the job that read it."""
    return [(step, source) for step in steps for source in step.sources if source.state == "altered"]


def holes(steps: Iterable[Step]) -> list[tuple[Step, Source]]:
    """Every file that a job read and that no card accounts for, with the job that read it."""
    return [(step, source) for step in steps for source in step.sources if is_hole(source, step.card)]


def versions(steps: Iterable[Step]) -> dict[str, dict[str, list[str]]]:
    """Names of the jobs by version, by package; ``python`` first."""
    found: dict[str, dict[str, list[str]]] = {}
    for step in steps:
        for package, version in step.facts["environment"]["packages"].items():
            found.setdefault(package, {}).setdefault(version, []).append(job_name(step.card))
    return dict(sorted(found.items(), key=lambda item: (item[0] != "python", item[0])))


def machines(steps: Iterable[Step]) -> dict[str, list[str]]:
    """Names of the jobs by the machine that they ran on."""
    found: dict[str, list[str]] = {}
    for step in steps:
        found.setdefault(machine(step.facts), []).append(job_name(step.card))
    return found


def machine(card: Mapping[str, Any]) -> str:
    """Processor, cores and, where one was used, GPU of a job, in words."""
    facts = card.get("hardware") or {}
    words = [f"{facts.get('processor') or 'unknown processor'}, {facts.get('cores', '?')} cores"]
    return "; ".join([*words, *([str(facts["gpu"])] if facts.get("gpu") else [])])


def cost(cards: Sequence[Mapping[str, Any]]) -> Cost:
    """The sum over jobs of times, and the largest memory."""
    wall, cpu = (sum(float(c.get(key) or 0) for c in cards) for key in ("wall_s", "cpu_s"))
    return Cost(len(cards), wall, cpu, max((float(c.get("peak_memory_mb") or 0) for c in cards), default=0.0))


def duration(seconds: float) -> str:
    """Seconds in words a person reads: ``42 s``, ``3 min 5 s``, ``2 h 10 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def flat(config: Any) -> dict[str, Any]:
    """Settings of a configuration by dotted key, shallow ones first."""
    found = dict(_flat(config, ""))
    return dict(sorted(found.items(), key=lambda item: item[0].count(".")))


def _flat(config: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if isinstance(config, Mapping) and config:
        for key, value in config.items():
            yield from _flat(value, f"{prefix}.{key}" if prefix else str(key))
    elif config is not None:
        yield prefix or "config", config


def memory(megabytes: float) -> str:
    """Megabytes in words a person reads."""
    return f"{megabytes / 1024:.1f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"
