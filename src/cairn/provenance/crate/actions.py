"""What was done: each job, the step that asked for it, the engine, and the run as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from cairn.provenance.crate.files import Properties, ref, refs
from cairn.provenance.crate.run import Card, Run
from cairn.provenance.crate.workflow import step_id, tool_id

if TYPE_CHECKING:
    from rocrate.rocrate import ROCrate  # type: ignore[import-untyped]

COMPLETED = "http://schema.org/CompletedActionStatus"  # a job writes its card last: no card, no success
MEASURES = {
    "wall_s": ("Time from the job's start to its card, in seconds.", "https://qudt.org/vocab/unit/SEC"),
    "cpu_s": ("Processor time of the job's process, in seconds.", "https://qudt.org/vocab/unit/SEC"),
    "peak_memory_mb": ("Largest resident memory of the job's process.", "https://qudt.org/vocab/unit/MebiBYTE"),
}


def add_actions(crate: ROCrate, run: Run, files: Mapping[str, str], engine: str, agent: str) -> None:
    """Add what was done: each job, its step, the engine, and the run as a whole.

    Args:
        crate: gets the entities.
        run: what was run.
        files: identifiers of files by path.
        engine: identifier of Snakemake.
        agent: identifier of who ran it; empty when unknown.
    """
    who = {"agent": ref(agent)} if agent else {}
    for name, (description, _unit) in MEASURES.items():
        crate.add_jsonld({"@id": f"#measure/{name}", "@type": "DefinedTerm", "name": name, "description": description})
    for path, card in run.cards.items():
        crate.add_jsonld(_job(crate, run, path, files) | who)
        crate.add_jsonld({
            "@id": f"#step/{quote(path)}", "@type": "ControlAction", "name": f"orchestrate {_title(path, card)}",
            "instrument": ref(step_id(card["stage"])), "object": ref(_job_id(path)), "actionStatus": COMPLETED,
        })  # fmt: skip
    crate.add_jsonld(_whole(run, files) | who)
    crate.add_jsonld({
        "@id": "#engine", "@type": "OrganizeAction", "name": "Run of Snakemake", "instrument": ref(engine),
        "object": refs(f"#step/{quote(path)}" for path in run.cards), "result": ref("#run"),
        "actionStatus": COMPLETED, **_times(run.cards.values()), **who,
    })  # fmt: skip
    crate.root_dataset["mentions"] = [ref("#run"), ref("#engine"), *(ref(_job_id(path)) for path in run.cards)]


def finished(cards: Iterable[Card]) -> datetime:
    """When the last of the jobs ended."""
    return datetime.fromtimestamp(max(float(card["finished"]) for card in cards), UTC)


def _job_id(path: str) -> str:
    return f"#job/{quote(path)}"


def _title(path: str, card: Card) -> str:
    return f"{card['stage']}: {path.removesuffix('run.json').rstrip('/.')}"


def _job(crate: ROCrate, run: Run, path: str, files: Mapping[str, str]) -> Properties:
    """One job; what it cost becomes entities of their own."""
    card = run.cards[path]
    hardware = card.get("hardware", {})
    machine = f"{hardware.get('cores', '?')} cores of {hardware.get('processor', 'an unknown processor')}"
    machine += f", GPU {hardware['gpu']}" if hardware.get("gpu") else ""
    action: Properties = {
        "@id": _job_id(path), "@type": "CreateAction", "name": _title(path, card),
        "instrument": ref(tool_id(card["stage"])),
        "description": f"Ran on a machine with {machine}. Its configuration stands in its card, {path}.",
        "subjectOf": ref(files[path]), "actionStatus": COMPLETED, **_times([card]),
    }  # fmt: skip
    for role, kind in (("object", "inputs"), ("result", "outputs")):
        if card[kind]:
            action[role] = refs(files[name] for name in sorted(card[kind]))
    measured = [name for name in MEASURES if name in card]
    for name in measured:
        crate.add_jsonld({
            "@id": f"{_job_id(path)}/{name}", "@type": "PropertyValue", "name": name, "value": str(card[name]),
            "propertyID": ref(f"#measure/{name}"), "unitCode": MEASURES[name][1],
        })  # fmt: skip
    if measured:
        action["resourceUsage"] = refs(f"{_job_id(path)}/{name}" for name in measured)
    return action


def _whole(run: Run, files: Mapping[str, str]) -> Properties:
    """The run of the workflow: from the configuration and raw data to the leaderboard and its page."""
    taken = [files[path] for path in [run.config, *run.raw] if path in files]
    action = {
        "@id": "#run", "@type": "CreateAction", "name": f"Run of Cairn, experiment {run.experiment}",
        "description": f"{len(run.cards)} jobs, from raw data to the leaderboard and its page.",
        "instrument": ref("Snakefile"), "result": refs(files[path] for path in run.results),
        "actionStatus": COMPLETED, **_times(run.cards.values()),
    }  # fmt: skip
    return action | ({"object": refs(taken)} if taken else {})


def _times(cards: Iterable[Card]) -> Properties:
    """First start and last end, in UTC to the second: the one ISO 8601 form that the profile takes."""
    cards = list(cards)
    start = min(datetime.fromisoformat(card["started"]).astimezone(UTC) for card in cards)
    return {
        "startTime": start.isoformat(timespec="seconds"), "endTime": finished(cards).isoformat(timespec="seconds"),
    }  # fmt: skip
