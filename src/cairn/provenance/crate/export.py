"""The crate as a whole: who, under which terms, by which profiles; put together, and written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cairn.errors import CairnError
from cairn.provenance.crate.actions import add_actions, finished
from cairn.provenance.crate.files import TERMS, add_artefacts, add_source, add_text, ref, refs
from cairn.provenance.crate.run import Run, read_run
from cairn.provenance.crate.workflow import add_package, add_workflow, parameters_of
from cairn.provenance.sbom import LOCK, locked, project_version, sbom

if TYPE_CHECKING:
    from rocrate.rocrate import ROCrate  # type: ignore[import-untyped]

SBOM = "sbom.cdx.json"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/provenance/0.5": ("Provenance Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
CYCLONEDX = "https://cyclonedx.org/docs/1.6/json/"
NO_LICENCE = (
    "No licence has been stated for this crate: all rights stay with the holders of the code and of the data. "
    "Ask whoever exported it before you use it further."
)
README = """# Cairn, experiment {experiment}

A run of [Snakemake](https://snakemake.readthedocs.io) from raw data to a leaderboard, as a Workflow Run RO-Crate.

- `{folder}/report/index.html`: the leaderboard's page. Open it from disk.
- `{folder}/leaderboard/`, `{folder}/evaluate/`: the numbers, and the scores behind them.
- `*run.json`: one card a job: what it read and made by SHA-256, its configuration, code, environment and cost.
- `Snakefile`, `rules/`, `workflow/`, `src/`, `config/`, `envs/`: the workflow that ran.
- `sbom.cdx.json`: every package of the locked environment (CycloneDX).
- `ro-crate-metadata.json`: how all of this hangs together, for machines.

{jobs} jobs; {copied} of their files are here, {described} are described by name, size and SHA-256 only.
"""


def export_crate(
    results: Path, root: Path, out: Path, with_data: bool = False, *, licence: str = "", agent: str = ""
) -> dict[str, Any]:
    """Write a finished experiment as an RO-Crate.

    Args:
        results: folder of the experiment, ``results/{experiment}``.
        root: the repository's folder; the cards' paths start there.
        out: folder to make; it may exist when it is empty.
        with_data: copy raw scans, shards, weights and packages too, instead of describing them by hash.
        licence: what others may do with the crate: an address such as ``https://spdx.org/licenses/MIT``, or a
            sentence. Left out, the crate says that none was stated, for no licence can be given in the owner's place.
        agent: who ran the workflow: ``Name``, or ``Name <https://orcid.org/…>``. Left out, the crate names nobody.

    Returns:
        ``out``, and how many ``jobs``, files ``copied`` and files only ``described`` it holds.

    Raises:
        CairnError: code ``lineage``, naming the card or the file that is missing or altered; code ``exists``, when
            ``out`` is in use. Nothing is written then.
    """
    root, results, out = (Path(os.path.abspath(path)) for path in (root, results, out))
    _check_place(out, results, root)
    run = read_run(results, root, with_data)
    copied = sum(bool(artefact.place) for artefact in run.artefacts.values())
    summary = {"jobs": len(run.cards), "copied": copied, "described": len(run.artefacts) - copied}
    _write(describe(run, summary, licence, agent), out)
    return {"out": out.as_posix(), **summary}


def describe(run: Run, summary: Mapping[str, int], licence: str = "", agent: str = "") -> ROCrate:
    """The crate of a run, with everything in it and nothing written yet."""
    from rocrate.rocrate import ROCrate

    crate = ROCrate(version="1.1")
    crate.metadata.extra_terms = dict(TERMS)
    who = _add_agent(crate, agent)
    _describe_root(crate, run, licence, who)
    pins = locked(run.root)
    add_workflow(crate, run, project_version(run.root), pins["snakemake"].version, LOCK)
    add_source(crate, run, LOCK)
    crate.add_jsonld({"@id": CYCLONEDX, "@type": "WebPage", "name": "CycloneDX 1.6, JSON"})
    about = f"Every package of the locked environment, from {LOCK}."
    add_text(crate, SBOM, sbom(run.root), conformsTo=ref(CYCLONEDX), description=about)
    readme = README.format(experiment=run.experiment, folder=run.folder, **summary)
    add_text(crate, "README.md", readme, about=ref("./"))
    files = add_artefacts(crate, run, parameters_of(run))
    engine = add_package(crate, "snakemake", pins["snakemake"].version)
    add_actions(crate, run, files, engine, who)
    return crate


def _describe_root(crate: ROCrate, run: Run, licence: str, agent: str) -> None:
    for identifier, (name, version) in PROFILES.items():
        crate.add_jsonld({"@id": identifier, "@type": "CreativeWork", "name": name, "version": version})
    is_address = licence.startswith(("http://", "https://"))
    rights = licence if is_address else "#licence"
    kind = {"@id": rights, "@type": "CreativeWork", "name": licence if licence else "No licence stated"}
    crate.add_jsonld(kind | {"description": licence or NO_LICENCE})
    root = crate.root_dataset
    root["name"] = f"Cairn, experiment {run.experiment}"
    root["description"] = (
        f"A run of Cairn's workflow, from raw brain MRI to a leaderboard of pretrained models: {len(run.cards)} jobs, "
        "with what each read and made by SHA-256, its code, configuration, environment and cost."
    )
    root["license"] = ref(rights)
    root["conformsTo"] = refs(PROFILES)
    root["datePublished"] = finished(run.cards.values()).isoformat(timespec="seconds")  # not the time of the export
    if agent:
        root["author"] = ref(agent)


def _add_agent(crate: ROCrate, agent: str) -> str:
    """Add who ran the workflow; returns the identifier, empty for nobody."""
    if not agent:
        return ""
    name, _, address = agent.rstrip("> ").partition("<")
    identifier = address.strip() or "#agent"
    crate.add_jsonld({"@id": identifier, "@type": "Person", "name": name.strip()})
    return identifier


def _check_place(out: Path, results: Path, root: Path) -> None:
    if not results.is_relative_to(root):
        raise CairnError(f"{results}: not inside {root}.", "Name the experiment's folder under results/.", "lineage")
    if out.is_relative_to(results):
        raise CairnError(f"{out}: lies inside the experiment, and would be part of the next export.", "", "exists")
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise CairnError(f"{out}: already there.", "Remove it, or name another folder.", "exists")


def _write(crate: ROCrate, out: Path) -> None:
    """The folder appears whole or not at all."""
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=".tmp-"))
    try:
        crate.write(temporary)
        temporary.chmod(0o755)
        os.replace(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
