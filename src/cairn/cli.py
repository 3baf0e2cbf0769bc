"""The command `cairn`: questions about a finished experiment, asked from its repository; ranks of any table; memory."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cairn.cli_challenge import register
from cairn.config.bench import CURIABENCH
from cairn.errors import CairnError

if TYPE_CHECKING:
    from cairn.provenance.why import Question

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
bench = typer.Typer(no_args_is_help=True, help="Benchmark of frozen encoders.")
app.add_typer(bench, name="bench")
register(app)
Experiment = Annotated[
    str, typer.Option("--experiment", "-e", help="Name of the folder under results/; needed where there are several.")
]


@app.callback()
def cairn() -> None:
    """Questions about a finished experiment, asked from its repository; ranks of any table; memory of a training."""


@app.command()
def restore(
    experiment: Experiment = "",
    check: Annotated[bool, typer.Option("--check", help="Only look: set nothing aside, change no time.")] = False,
    every: Annotated[bool, typer.Option("--every", help="Read every file again, whatever its time says.")] = False,
) -> None:
    """Compare every file with the card of the job that made it; name what differs and set it aside.

    After `dvc pull`, or in doubt. What is set aside, and what rests on it, `snakemake --cores all` makes again. Ends
    with status 1 when something differed.
    """
    from cairn.provenance.lineage import card_files
    from cairn.provenance.restore import restore as compare
    from cairn.provenance.restore import unrecorded, words

    results = results_of(experiment)
    found = compare(results, every, change=not check)
    own = [p.as_posix() for p in card_files(results) if p.is_relative_to(results)]  # packages may come from elsewhere
    lost = unrecorded(Path(".snakemake/metadata"), own)
    print(words(found, lost))
    if found.faults or lost:
        raise typer.Exit(1)


@app.command()
def rebuild(
    run: str,
    task: str,
    metric: str,
    experiment: Experiment = "",
    into: Annotated[
        str, typer.Option(help="New folder to work in; default: a temporary one, removed when equal.")
    ] = "",
    cores: Annotated[str, typer.Option(help="Cores, as Snakemake takes them.")] = "all",
) -> None:
    """Make a number again in a clean folder, from the raw files, and compare it and all that it rests on.

    Equal bytes are asked for on a CPU; where a GPU has a part, values within the stated tolerance. Ends with status 1
    when the number is not the same.
    """
    import shutil
    import tempfile

    from cairn.evaluate.numbers import find_number
    from cairn.evaluate.tables import mean_of
    from cairn.provenance.rebuild import rebuild as make_again
    from cairn.provenance.rebuild import report

    results = results_of(experiment)
    number = find_number(results, run, task, metric)
    if number.file.suffix != ".parquet":
        raise CairnError(
            f"{number.title} rests on all runs.", "Rebuild a metric; or run `snakemake` in a fresh clone.", "unknown"
        )  # fmt: skip
    folder = Path(into) if into else Path(tempfile.mkdtemp(prefix="cairn-rebuild-"))
    found = make_again(results, number.file, lambda: mean_of(number.file, metric), folder, cores)
    print(report(number.title, found))
    if found.same and not into:
        shutil.rmtree(folder)
    else:
        print(f"Made in {folder}.")
    if not found.same:
        raise typer.Exit(1)


@app.command()
def crate(
    out: Annotated[str, typer.Option(help="Folder to make.")],
    experiment: Experiment = "",
    with_data: Annotated[bool, typer.Option("--with-data", help="Copy scans, shards and weights too.")] = False,
    licence: Annotated[str, typer.Option(help="What others may do with it: an address or a sentence.")] = "",
    agent: Annotated[str, typer.Option(help="Who ran the workflow: 'Name <https://orcid.org/…>'.")] = "",
) -> None:
    """Export the whole run as a Workflow Run RO-Crate, with the bill of materials of its environment."""
    from cairn.provenance.crate import export_crate

    made = export_crate(results_of(experiment), Path(), Path(out), with_data, licence=licence, agent=agent)
    print(f"{made['out']}: {made['jobs']} jobs, {made['copied']} files, {made['described']} described by their hash.")


@app.command()
def rank(
    file: Annotated[Path, typer.Argument(help="CSV with the columns team,task,metric,value.")],
    out: Annotated[Path, typer.Option(help="Folder for ranks.csv; made where it is missing.")],
    baseline: Annotated[list[str] | None, typer.Option(help="A team to list without a rank; may be repeated.")] = None,
) -> None:
    """Rank any table of results as FOMO25 does: metric by metric, task by task, overall.

    Tasks and their metrics: infarct (auroc), meningioma (dice, nsd), brain_age (mae, pearson_r). Prints the ranks as a
    Markdown table; what to know of missing and undefined values goes to the error stream.
    """
    from cairn.evaluate.rank_table import as_markdown, rank_file

    found, notes = rank_file(file, out, baseline or ())
    print(as_markdown(found))
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


@app.command()
def memory(
    run: Annotated[str, typer.Argument(help="A run that pretrains an encoder.")],
    configfile: Annotated[list[Path], typer.Option(help="Configuration; may be repeated, each laid over the last.")],
    processes: Annotated[int, typer.Option(help="Instead of pretrain.processes.")] = 0,
    parallel: Annotated[str, typer.Option(help="Instead of pretrain.parallel: ddp or fsdp.")] = "",
    batch_size: Annotated[int, typer.Option(help="Instead of pretrain.batch_size.")] = 0,
    checkpoint: Annotated[
        bool | None, typer.Option("--checkpoint/--no-checkpoint", help="Instead of pretrain.checkpoint_activations.")
    ] = None,
) -> None:
    """How much memory a process of a pretraining takes, from the configuration alone; nothing is allocated."""
    import yaml

    from cairn.config.base import parse
    from cairn.plan import Plan
    from cairn.train.memory import memory_plan
    from cairn.train.pretrain import PretrainJob

    config: dict[str, Any] = {}
    for file in configfile:
        if not file.is_file():
            raise CairnError(f"{file}: no such file.", "Name the experiment's, such as config/demo.yaml.", "missing")
        _lay_over(config, yaml.safe_load(file.read_text(encoding="utf-8")))
    plan = Plan(config, Path())
    if run not in plan.pretrained_runs:
        known = ", ".join(plan.pretrained_runs) or "none here"
        raise CairnError(f"Run '{run}' pretrains no encoder.", f"Name one of: {known}.", "unknown")
    job = json.loads(plan.pretrain_job(run, "0"))
    changes = {"processes": processes or None, "parallel": parallel or None, "batch_size": batch_size or None}
    changes["checkpoint_activations"] = checkpoint
    job["pretrain"] |= {name: value for name, value in changes.items() if value is not None}
    print("\n".join(memory_plan(parse(PretrainJob, job)).lines()))


def _lay_over(config: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Lay a configuration over another, section by section, as Snakemake does."""
    for name, value in more.items():
        if isinstance(value, Mapping) and isinstance(config.get(name), dict):
            _lay_over(config[name], value)
        else:
            config[name] = value


def results_of(experiment: str) -> Path:
    """Folder of an experiment's results, relative to the current folder.

    Raises:
        CairnError: when there is none of that name, or several and none was named.
    """
    there = sorted(p.parent.parent.name for p in Path("results").glob("*/leaderboard/run.json"))
    if experiment and (Path("results") / experiment).is_dir():
        return Path("results") / experiment
    if not experiment and len(there) == 1:
        return Path("results") / there[0]
    named = f"No results/{experiment} here." if experiment else "Which experiment?"
    known = f"Finished here: {', '.join(there)}." if there else "Nothing is finished here: run `snakemake --cores all`."
    raise CairnError(named, f"{known} Name one with --experiment, from the repository's folder.", "missing")


@app.command()
def why(
    run: Annotated[str, typer.Argument(help="A run; or the path of a file under results/.")],
    task: Annotated[str, typer.Argument(help="A task; 'overall' for the run's rank among all.")] = "",
    metric: Annotated[str, typer.Argument(help="A metric of the task, or 'rank'.")] = "",
    experiment: Experiment = "",
    everything: Annotated[bool, typer.Option("--all", help="Whole settings, every job, every file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The whole chain as JSON.")] = False,
) -> None:
    """Where a number comes from: every job, hash, setting, seed and machine, back to the raw files."""
    from cairn.provenance.lineage import read_lineage
    from cairn.provenance.lines import show
    from cairn.provenance.why import answer, as_data, as_lines

    question, results = _question(run, task, metric, experiment)
    found = answer(read_lineage(results), question)
    if as_json:
        sys.stdout.write(json.dumps(as_data(found), indent=1, ensure_ascii=False) + "\n")
    else:
        show(as_lines(found, everything))


@app.command()
def index(
    path: Annotated[Path, typer.Argument(help="Folder of a data set, as downloaded.")],
    kind: Annotated[str, typer.Option(help="bids, fomo60k, fomo300k or fomo_task; default: what it looks like.")] = "",
    headers: Annotated[bool, typer.Option("--headers", help="Open the header of every scan too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="All of it as JSON, every file that cannot be used.")] = False,
) -> None:
    """What a folder of scans holds, and what in it cannot be used and why, before anything is configured.

    Ends with status 1 when no scan can be used.
    """
    from cairn.datasets.inventory import inventory_lines, take_inventory
    from cairn.datasets.layouts import KINDS

    if kind and kind not in KINDS:
        raise CairnError(f"No layout '{kind}'.", f"Known are {', '.join(KINDS)}.", "unknown")
    found = take_inventory(path, kind, headers)
    print(json.dumps(found, indent=1, ensure_ascii=False) if as_json else "\n".join(inventory_lines(found)))
    if not found["usable"]:
        raise typer.Exit(1)


@bench.command("list")
def bench_list(
    registry: Annotated[Path, typer.Option(help="The list of tasks.")] = Path("config/curiabench.yaml"),
    root: Annotated[Path, typer.Option(help="Folder of the data, as published.")] = Path(CURIABENCH),
) -> None:
    """CuriaBench's 19 tasks: which are here, and how to get the others."""
    from cairn.bench.registry import listing, read_registry

    print("\n".join(listing(read_registry(registry), root)))


def _question(run: str, task: str, metric: str, experiment: str) -> tuple[Question, Path]:
    """What `why` was asked, and the folder of the experiment that it was asked about."""
    from cairn.evaluate.numbers import about_number, find_number
    from cairn.provenance.why import about_file

    parts = Path(run).parts
    if not task and parts[:1] == ("results",) and len(parts) > 2:
        resource = parts[1] == "resources"
        return about_file(Path(run).as_posix()), results_of(experiment) if resource else Path(*parts[:2])
    results = results_of(experiment)
    return about_number(find_number(results, run, task, metric)), results


def main() -> None:
    """Entry of the command; a `CairnError` is one message and status 1.

    A terminal that cannot write a character shows a question mark in its place.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # tests put others in their place
            stream.reconfigure(errors="replace")
    try:
        app()
    except CairnError as error:
        sys.exit(f"cairn: {error}")
