"""What was planned: the Snakefile, a step and a tool for each stage, and what the workflow takes and gives."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from cairn.provenance.crate.files import Properties, first_line, of_disk, ref, refs
from cairn.provenance.crate.run import Run

if TYPE_CHECKING:
    from rocrate.rocrate import ROCrate  # type: ignore[import-untyped]

CONTRACTS = "docs/reference/contracts.md"  # says what every stage reads and writes


def add_workflow(crate: ROCrate, run: Run, version: str, snakemake: str, lock: str) -> None:
    """Add the Snakefile with its tools, steps and parameters.

    Args:
        crate: gets the entities.
        run: what was run.
        version: Cairn's version.
        snakemake: version of Snakemake that the lock pins.
        lock: path of the lock that the environment is made from.
    """
    stages = stages_of(run)
    positions = _positions(run)
    for stage in stages:
        _add_tool(crate, run, stage)
        step = {"@id": step_id(stage), "@type": "HowToStep", "name": stage, "workExample": ref(tool_id(stage))}
        if positions:
            step["position"] = str(positions[stage])
        crate.add_jsonld(step)
    path = run.root / "Snakefile"
    properties = of_disk(run, "Snakefile") | {
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
        "name": "Cairn",
        "description": first_line(path),
        "version": version,
        "hasPart": refs(map(tool_id, stages)),
        "step": refs(map(step_id, stages)),
        "buildInstructions": ref(lock),
        **_documented(run),
    }
    inputs, outputs = _add_parameters(crate, run)
    properties |= {"input": refs(inputs)} if inputs else {}
    properties["output"] = refs(outputs)
    crate.add_workflow(path, "Snakefile", properties=properties, main=True, lang="snakemake", lang_version=snakemake)


def add_package(crate: ROCrate, name: str, version: str) -> str:
    """Add a Python package, or Python itself; returns its identifier."""
    page = f"https://pypi.org/project/{name}/{version}/"
    if name == "python":
        page = f"https://www.python.org/downloads/release/python-{version.replace('.', '')}/"
    if page not in crate:
        kind = {"@id": page, "@type": "SoftwareApplication"}
        crate.add_jsonld(kind | {"name": name, "version": version, "url": ref(page)})
    return page


def parameters_of(run: Run) -> dict[str, list[str]]:
    """Identifiers of the workflow's parameters that a file stands for, by path."""
    found: dict[str, list[str]] = {path: ["Snakefile#input/data"] for path in run.raw}
    found[run.config] = ["Snakefile#input/config"]
    for path, stage in run.results.items():
        found.setdefault(path, []).append(f"Snakefile#output/{stage}")
    return found


def stages_of(run: Run) -> list[str]:
    """Stages that ran, sorted."""
    return sorted({str(card["stage"]) for card in run.cards.values()})


def tool_id(stage: str) -> str:
    """Identifier, and path, of a stage's script."""
    return f"workflow/scripts/{stage}.py"


def step_id(stage: str) -> str:
    """Identifier of a stage as a step of the workflow."""
    return f"Snakefile#{stage}"


def _documented(run: Run) -> Properties:
    return {"url": ref(CONTRACTS)} if CONTRACTS in run.source else {}


def _add_tool(crate: ROCrate, run: Run, stage: str) -> None:
    """A script; its version is the hash of what it does, and it requires what its jobs found installed."""
    cards = [card for card in run.cards.values() if card["stage"] == stage]
    packages: set[tuple[str, str]] = set()
    for card in cards:
        environment = card.get("environment", {})
        packages |= set(environment.get("packages", {}).items())
        packages |= {("python", environment["python"])} if "python" in environment else set()
    path = run.root / tool_id(stage)
    properties = of_disk(run, tool_id(stage)) | {
        "@type": ["File", "SoftwareSourceCode"], "name": stage, "description": first_line(path),
        "version": str(cards[0]["code"]), **_documented(run),
    }  # fmt: skip
    if packages:
        properties["softwareRequirements"] = refs(add_package(crate, *package) for package in sorted(packages))
    crate.add_file(path, tool_id(stage), properties=properties)


def _positions(run: Run) -> dict[str, int]:
    """Place of each stage in the order of execution; empty when two stages feed each other, for then there is none."""
    makers = {path: str(card["stage"]) for card in run.cards.values() for path in card["outputs"]}
    needs: dict[str, set[str]] = {stage: set() for stage in stages_of(run)}
    for card in run.cards.values():
        needs[str(card["stage"])] |= {makers[path] for path in card["inputs"] if path in makers} - {card["stage"]}
    sorter = TopologicalSorter({stage: sorted(before) for stage, before in needs.items()})
    try:
        return {stage: place for place, stage in enumerate(sorter.static_order())}
    except CycleError:
        return {}


def _add_parameters(crate: ROCrate, run: Run) -> tuple[list[str], list[str]]:
    """What the workflow takes and gives; returns the identifiers of inputs and of outputs."""
    inputs = {"input/config": "Configuration of the experiment: the files given with --configfile, merged."}
    if run.config not in run.artefacts:
        inputs = {}
    if run.raw:
        inputs["input/data"] = "Data from outside: raw scans, labels, and the packages that the embedded cohort uses."
    outputs = {f"output/{s}": first_line(run.root / tool_id(s)) for s in sorted(set(run.results.values()))}
    for name, description in (inputs | outputs).items():
        crate.add_jsonld({
            "@id": f"Snakefile#{name}", "@type": "FormalParameter", "name": name.split("/")[1],
            "description": description, "additionalType": "File", "multipleValues": "True",
        })  # fmt: skip
    return [f"Snakefile#{name}" for name in inputs], [f"Snakefile#{name}" for name in outputs]
