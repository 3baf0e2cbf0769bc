"""The chain of a number in words, for a terminal, and as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from cairn.errors import CairnError
from cairn.provenance import chain
from cairn.provenance.lineage import Lineage, Source, Step
from cairn.provenance.lines import Line, Words, columns, field, filled, folder_lists, heading, plain, settings

SHORT = 12
JOBS_SHOWN, FILES_SHOWN, FILES_A_JOB, SETTING_LINES = 12, 10, 6, 3


@dataclass(frozen=True)
class Question:
    """What was asked: a number, or a file."""

    title: str
    notes: Sequence[str]
    """What stands beside the number, one line each."""
    files: Sequence[str]
    """Paths of the files that it stands in."""
    record: Mapping[str, Any]
    """The same as plain data."""


@dataclass(frozen=True)
class Answer:
    """The chain that answers a question."""

    question: Question
    lineage: Lineage
    steps: Sequence[Step]

    @cached_property
    def groups(self) -> list[chain.Group]:
        """The jobs by stage, from the number to the raw files."""
        return chain.by_stage(self.lineage, self.steps)

    @cached_property
    def number(self) -> dict[str, int]:
        """Number of each job in the order in which they are told, by its card."""
        return {step.card: i for i, step in enumerate((s for g in self.groups for s in g.steps), 1)}

    @cached_property
    def read(self) -> frozenset[str]:
        """Paths of the files that the chain goes through."""
        return frozenset(s.path for step in self.steps for s in step.sources) | frozenset(self.question.files)


def about_file(path: str) -> Question:
    """Ask where a file comes from."""
    return Question(path, (), [path], {"file": path})


def answer(lineage: Lineage, question: Question) -> Answer:
    """Find the chain that a question asks for.

    Raises:
        CairnError: code ``missing``, when no card stands for one of its files.
    """
    makers = lineage.makers
    for file in question.files:
        if file not in makers:
            raise CairnError(f"{file}: no card says how it was made.", "Run the stage that makes it.", "missing")
    return Answer(question, lineage, lineage.chain(question.files))


def as_data(found: Answer) -> dict[str, Any]:
    """The whole chain as plain data: every card with the source of all that it read."""
    return {
        "asked": dict(found.question.record),
        "files": [_file(found, path) for path in found.question.files],
        "altered": [{"job": s.card, **asdict(source)} for s, source in chain.altered(found.steps)],
        "unaccounted": [{"job": s.card, **asdict(source)} for s, source in chain.holes(found.steps)],
        "jobs": [
            {"card": s.card, **s.facts, "sources": [asdict(source) for source in s.sources]}
            for group in found.groups for s in group.steps
        ],
        "environment": chain.versions(found.steps),
        "hardware": chain.machines(found.steps),
        "raw_files": chain.beginnings(found.steps),
        "cost": asdict(chain.cost([s.facts for s in found.steps])),
    }  # fmt: skip


def _file(found: Answer, path: str) -> dict[str, str]:
    card = found.lineage.makers[path]
    return {"path": path, "sha256": found.lineage.cards[card]["outputs"][path], "card": card}


def as_lines(found: Answer, everything: bool = False) -> list[Line]:
    """The chain for a terminal of 100 columns.

    Args:
        found: the chain.
        everything: print whole settings, all jobs and all files, and every hash in full.
    """
    lines = [*_head(found), *_warnings(found.steps)]
    for group in found.groups:
        lines += _group(found, group, everything)
    return [*lines, *_world(found.steps), *_raw(found, everything), *_cost(found)]


def _head(found: Answer) -> Iterator[Line]:
    asked = found.question
    yield Line((("bold", asked.title),))
    yield from (plain(f"  {note}") for note in asked.notes)
    for path in asked.files:
        yield field("file", path)
        yield field("sha256", _file(found, path)["sha256"])
    raw, cost = len(chain.beginnings(found.steps)), chain.cost([s.facts for s in found.steps])
    yield plain("")
    yield from filled(
        f"{_count(cost.jobs, 'job')} lead from {_count(raw, 'raw file')} to it, and took "
        f"{chain.duration(cost.wall_s)}. They follow from the number back to the raw files; [3] is the job numbered 3.",
    )  # fmt: skip


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _warnings(steps: Sequence[Step]) -> Iterator[Line]:
    """What makes a chain worthless, in capitals."""
    for path, jobs in _readers(chain.altered(steps)):
        yield plain("")
        yield Line((("bold red", f"ALTERED: {path}"),))
        yield from filled(
            f"The job that made this file wrote something else than what was read by {_named(jobs)}. "
            "Do not trust the number: run `cairn restore`, then `snakemake`.", "  ",
        )  # fmt: skip
    for path, jobs in _readers(chain.holes(steps)):
        yield plain("")
        yield Line((("bold red", f"UNACCOUNTED FOR: {path}"),))
        yield from filled(f"No card says which job made this file. Read by {_named(jobs)}.", "  ")


def _readers(found: Iterable[tuple[Step, Source]]) -> list[tuple[str, list[str]]]:
    """Names of the jobs that read a file, by file."""
    readers: dict[str, list[str]] = {}
    for step, source in found:
        readers.setdefault(source.path, []).append(chain.job_name(step.card))
    return list(readers.items())


def _group(found: Answer, group: chain.Group, everything: bool) -> Iterator[Line]:
    """A stage: what its jobs share, then each job."""
    cards = [s.facts for s in group.steps]
    spent = chain.cost(cards)
    yield plain("")
    yield heading(group.stage, f"{_count(spent.jobs, 'job')}, {chain.duration(spent.wall_s)}")
    yield field("code", _agreed([c["code"] for c in cards]))
    yield field("pins", _agreed([c["environment"]["pins"] for c in cards]))
    yield from filled(_packages(cards[0]), " " * 12, "dim")
    shared = _shared(cards)
    yield from settings(shared, None if everything else SETTING_LINES)
    shown = group.steps if everything else group.steps[:JOBS_SHOWN]
    for step in shown:
        yield from _job(found, step, shared, everything)
    if len(shown) < len(group.steps):
        yield plain(f"  … and {len(group.steps) - len(shown)} more jobs; --all prints them.")


def _packages(card: Mapping[str, Any]) -> str:
    """What the stage imports from elsewhere."""
    return ", ".join(f"{name} {v}" for name, v in card["environment"]["packages"].items() if name != "python")


def _agreed(values: Iterable[str]) -> str:
    """One value, or all that differ: jobs of one stage that ran other code are worth a look."""
    distinct = list(dict.fromkeys(values))
    return distinct[0] if len(distinct) == 1 else f"{', '.join(distinct)}  (not the same in all jobs)"


def _shared(cards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Settings that all jobs have alike."""
    first, *others = [chain.flat(c["config"]) for c in cards]
    return {k: v for k, v in first.items() if all(k in other and other[k] == v for other in others)}


def _job(found: Answer, step: Step, shared: Mapping[str, Any], everything: bool) -> Iterator[Line]:
    card = step.facts
    number = f"[{found.number[step.card]}]"
    spent = [chain.duration(card["wall_s"]), f"cpu {chain.duration(card['cpu_s'])}"]
    ran = f"{card['started'][:16].replace('T', ' ')}Z  {', '.join([*spent, chain.memory(card['peak_memory_mb'])])}"
    yield columns(f"  {number} {chain.job_name(step.card)}", ran)
    own = {k: v for k, v in chain.flat(card["config"]).items() if k not in shared}
    yield from settings(own, None if everything else 2, "with")
    yield from settings(_said(card["facts"], everything), None if everything else 2, "says")
    yield from _made(found, step, everything)
    yield from _read(found, step, everything)


def _said(facts: Mapping[str, Any], everything: bool) -> dict[str, Any]:
    """What a job said of itself: device, precision, counts; lists, and hashes that stand below, only with the rest."""
    said = chain.flat(facts)
    short = {k: v for k, v in said.items() if isinstance(v, str | bool | int | float) and not k.endswith("sha256")}
    return said if everything else short


def _made(found: Answer, step: Step, everything: bool) -> Iterator[Line]:
    """The files that the chain goes through; scans stand at its end, and the others are counted."""
    outputs = step.facts["outputs"]
    through = [p for p in outputs if p in found.read and not p.endswith(chain.SCANS)][:FILES_A_JOB]
    shown = list(outputs) if everything else through
    for i, path in enumerate(shown):
        digest = outputs[path] if everything else outputs[path][:SHORT]
        yield Line((("dim", f"      {'' if i else 'made':<5} "), ("", f"{digest}  {path}")))
    yield from _others(list(outputs), len(shown))


def _read(found: Answer, step: Step, everything: bool) -> Iterator[Line]:
    sources = chain.sources(step)
    shown = sources if everything else [s for s in sources if not _is_plain_scan(s)][:FILES_A_JOB]
    for i, source in enumerate(shown):
        digest = source.sha256 if everything else source.sha256[:SHORT]
        origin: Words = (("cyan", f"[{found.number[source.card]}]"),) if source.card else (_origin(source, step),)
        mark: Words = (("bold red", "ALTERED "),) if source.state == "altered" else ()
        lead: Words = (("dim", f"      {'' if i else 'read':<5} "),)
        yield Line((*lead, *mark, ("", f"{digest}  {source.path}  "), *origin))
    yield from _others([s.path for s in sources], len(shown))


def _is_plain_scan(source: Source) -> bool:
    """A scan with nothing to say of it: there are many, and they stand among the raw files."""
    return source.path.endswith(chain.SCANS) and source.state != "altered"


def _others(paths: Sequence[str], shown: int) -> Iterator[Line]:
    """How many files of a job were not told."""
    rest = len(paths) - shown
    if rest:
        scans = sum(p.endswith(chain.SCANS) for p in paths)
        words = _count(rest, "other file") + (f", {_count(scans, 'image')} among them" if scans else "")
        yield Line((("dim", f"            and {_count(rest, 'image') if scans == rest else words}"),))


def _origin(source: Source, step: Step) -> tuple[str, str]:
    return ("bold red", "UNACCOUNTED FOR") if chain.is_hole(source, step.card) else ("green", "raw")


def _world(steps: Sequence[Step]) -> Iterator[Line]:
    """Environment and hardware: once, and who differs."""
    yield plain("")
    yield heading("environment")
    common, others = [], []
    for package, found in chain.versions(steps).items():
        if len(found) == 1:
            common.append(f"{package} {next(iter(found))}")
        else:
            others.append(f"{package} " + "; ".join(f"{v} in {_named(jobs)}" for v, jobs in found.items()))
    yield from filled(", ".join(common), "  ")
    for line in others:
        yield from filled(f"DIFFERS: {line}", "  ", "yellow")
    yield plain("")
    yield heading("hardware")
    found = chain.machines(steps)
    for machine, jobs in found.items():
        yield from filled(machine if len(found) == 1 else f"{machine}: {_named(jobs)}", "  ")


def _named(jobs: Sequence[str]) -> str:
    """Names of jobs; many are counted."""
    return ", ".join(jobs) if len(jobs) <= 3 else f"{', '.join(jobs[:2])} and {len(jobs) - 2} more jobs"


def _raw(found: Answer, everything: bool) -> Iterator[Line]:
    """Which job brought how many raw files in, and their hashes."""
    files = chain.beginnings(found.steps)
    yield plain("")
    yield heading("raw files", _count(len(files), "file"))
    if not files:
        yield Line((("bold red", "  None: this chain does not reach a raw file."),))
    by_job = list(chain.bringing([s for g in found.groups for s in g.steps]).items())
    for card, some in by_job if everything else by_job[:JOBS_SHOWN]:
        yield plain(f"  {f'[{found.number[card]}]':>5} {chain.job_name(card):<44} {_count(len(some), 'file')}")
    if not everything and len(by_job) > JOBS_SHOWN:
        yield plain(f"        and {len(by_job) - JOBS_SHOWN} more jobs")
    yield plain("")
    shown = list(files)[: None if everything else FILES_SHOWN]
    yield from folder_lists({path: files[path] for path in shown})
    if len(shown) < len(files):
        yield plain(f"  … and {len(files) - len(shown):,} more; --all prints them.")


def _cost(found: Answer) -> Iterator[Line]:
    """Cost by stage, and the sum."""
    yield plain("")
    yield heading("cost", "wall and processor time summed over jobs; memory of the largest")
    rows = [(g.stage, chain.cost([s.facts for s in g.steps])) for g in found.groups]
    for stage, c in [*rows, ("all", chain.cost([s.facts for s in found.steps]))]:
        yield Line((("bold" if stage == "all" else "", (
            f"  {stage:<18} {_count(c.jobs, 'job'):>10} {chain.duration(c.wall_s):>14} "
            f"{'cpu ' + chain.duration(c.cpu_s):>18} {chain.memory(c.peak_memory_mb):>10}"
        )),))  # fmt: skip
