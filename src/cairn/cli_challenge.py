"""The commands of a challenge: for entrants and for organisers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cairn.errors import CairnError

Scan = Annotated[Path | None, typer.Option(help="A scan, NIfTI.")]
Experiment = Annotated[
    str, typer.Option("--experiment", "-e", help="Folder under results/; needed where there are several.")
]
DEMO, FOMO26 = Path("config/demo.yaml"), Path("config/fomo26.yaml")
Seed = Annotated[int, typer.Option(help="Repetition whose model answers.")]


def register(app: typer.Typer) -> None:
    """Add the commands to ``cairn``."""
    app.command()(predict)
    app.command()(package)
    app.command()(validate)


def predict(
    out: Annotated[Path, typer.Option("--out", "--output", help="The answer: .txt, .nii.gz or .npy.")],
    task: Annotated[str, typer.Option(help="Task; a bundle has its own.")] = "",
    run: Annotated[str, typer.Option(help="Row of the leaderboard; default: the first of the task.")] = "",
    experiment: Experiment = "",
    seed: Seed = 0,
    bundle: Annotated[Path | None, typer.Option(help="A bundle, instead of a finished experiment.")] = None,
    picture: Annotated[Path | None, typer.Option(help="A PNG file: the stripped scans with the answer.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda; default: as the experiment says.")] = "",
    flair: Scan = None,
    adc: Scan = None,
    dwi: Annotated[Path | None, typer.Option("--dwi", "--dwi_b1000", help="A scan, NIfTI.")] = None,
    t2s: Scan = None,
    swi: Scan = None,
    t1: Scan = None,
    t2: Scan = None,
    t1c: Scan = None,
    pd: Scan = None,
    scan: Annotated[Path | None, typer.Option("--input", help="A scan; counts as the task's first sequence.")] = None,
) -> None:
    """Predict one case from its raw scans, as a container does: any of the task's sequences, in any order.

    Takes the model of a finished experiment's row, or a bundle. A bad scan is refused with what to do; no answer is
    written by halves. For research: no answer is fit for a patient.
    """
    import os

    os.environ["OMP_NUM_THREADS"] = "1"  # as in the pipeline and the image, before NumPy is imported
    from cairn.challenge.bundle import open_bundle
    from cairn.challenge.command import scans_of
    from cairn.challenge.finished import best_run, bundle_of
    from cairn.challenge.picture import draw
    from cairn.challenge.predict_case import predict_case
    from cairn.cli import results_of

    if device not in ("", "auto", "cpu", "cuda"):
        raise CairnError(f"No device '{device}'.", "Name auto, cpu or cuda.", "arguments")
    if bundle:
        opened = open_bundle(bundle)
        if task and task != opened.job.task.name:
            raise CairnError(f"{bundle}: answers '{opened.job.task.name}'.", "Leave --task out.", "arguments")
    elif task:
        results = results_of(experiment)
        opened = bundle_of(results, run or best_run(results, task), task, seed)
    else:
        raise CairnError("Which task?", "Name a --task, or a --bundle.", "arguments")
    given = {
        "flair": flair, "adc": adc, "dwi": dwi, "t2s": t2s, "swi": swi, "t1": t1, "t2": t2, "t1c": t1c, "pd": pd,
        "input": scan,
    }  # fmt: skip
    done = predict_case(opened, scans_of(opened, given), out, device=device or None)  # type: ignore[arg-type]
    for note in done.notes:
        typer.echo(note, err=True)
    told = f": {done.value}" if done.value else ""
    typer.echo(f"{out}{told} (run {opened.job.run}, from {', '.join(done.used)})")
    if picture:
        draw(done, opened.job, out, picture)
        typer.echo(f"{picture}")


def package(
    run: Annotated[str, typer.Argument(help="Row of the leaderboard.")],
    task: Annotated[str, typer.Option(help="Task; default: every one that the row has a model for.")] = "",
    out: Annotated[
        Path | None, typer.Option(help="New folder for the build context; default: where the workflow has it.")
    ] = None,
    experiment: Experiment = "",
    seed: Seed = 0,
    sif: Annotated[Path | None, typer.Option(help="Build this image too, by Apptainer.")] = None,
    offline: Annotated[
        str, typer.Option(help="With --sif, build without a network: 'BASE.sif:WHEELS', an image and a folder.")
    ] = "",
) -> None:
    """Make container entries of a row: a build context for Apptainer and Docker each, and with --sif the image."""
    from cairn.challenge.finished import bundle_of, tasks_of_run
    from cairn.challenge.package import build, machine_base
    from cairn.challenge.package import package as write
    from cairn.cli import results_of

    results = results_of(experiment)
    if not task and (out or sif):
        raise CairnError("--out and --sif are for one entry.", "Name its --task, or leave them out.", "arguments")
    made = {}
    for name in [task] if task else tasks_of_run(results, run, seed):
        made[name] = out or results / "submission" / run / name
        card = write(bundle_of(results, run, name, seed), made[name], Path())
        typer.echo(f"{made[name]}: {card['app_mb']} MB beside Python and its packages.")
    if sif:
        base, _, wheels = offline.partition(":")
        size = build(made[task], sif, (Path(base), Path(wheels)) if offline else None)
        typer.echo(f"{sif}: {size:.0f} MB.")
        typer.echo(f"Try it: cairn validate {sif} --task {task}")
    else:
        lent = " ".join(f"--base {place}" for place in machine_base())
        typer.echo("Try it on this machine's Python:")
        for name, folder in made.items():
            typer.echo(f"cairn validate {folder} --task {name} {lent}")


def validate(
    image: Annotated[str, typer.Argument(help="A .sif file, a folder with a root file system, or docker://NAME.")],
    task: Annotated[str, typer.Option(help="Task of the configuration that the image answers.")],
    contract: Annotated[
        str, typer.Option(help="fomo25 or fomo26: whose arguments it takes; default: as configured.")
    ] = "",
    configfile: Annotated[
        list[Path] | None,
        typer.Option(
            help="Where the task stands; a further one is laid over. Default: the demo's, with fomo26 its too."
        ),
    ] = None,
    data: Annotated[str, typer.Option(help="Folder of real scans (FOMO's fine-tune sets, BIDS); else invented.")] = "",
    cases: Annotated[int, typer.Option(min=1, help="Cases, each run twice.")] = 2,
    seconds: Annotated[float, typer.Option(help="Wall time of a case; default: the contract's, 120 or 900.")] = 0,
    memory_mb: Annotated[int, typer.Option(help="Memory of a case; default: as in the configuration.")] = 0,
    gpu: Annotated[bool, typer.Option("--gpu", help="Show it the GPU.")] = False,
    engine: Annotated[
        str, typer.Option(help="auto, bubblewrap, apptainer, docker or podman; default: as configured.")
    ] = "",
    base: Annotated[
        list[str] | None, typer.Option(help="Folder of this machine that a folder image sees; may be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As data.")] = False,
) -> None:
    """Try an image as an organiser will, on a few cases, and say what is wrong with it. Ends with status 1 if any is.

    Invented heads are used unless --data names real ones. Each case runs in a sandbox of its own: no network, nothing
    to write to but the output, limits on time, memory, processes and size.
    """
    import tempfile

    from cairn.challenge.entry import Entry
    from cairn.challenge.trials import invented_trials, real_trials
    from cairn.challenge.validate import as_text, validate
    from cairn.config.base import parse
    from cairn.config.challenge import ChallengeConfig
    from cairn.sandbox.image import open_image
    from cairn.sandbox.run import engine_for

    usual = [DEMO, FOMO26] if contract == "fomo26" else [DEMO]
    whole: dict[str, Any] = {}
    for path in configfile or usual:
        whole = _laid_over(whole, _configuration(path))
    asked = _task(whole, task)
    named = {"contract": contract, "engine": engine, "base": base}
    section = whole.get("challenge", {}) | {name: value for name, value in named.items() if value}
    how = parse(ChallengeConfig, section, "challenge")
    limits = {
        "seconds": seconds or how.seconds_of_contract,
        "memory_mb": memory_mb or how.policy.memory_mb,
        "gpu": gpu or how.policy.gpu,
    }
    opened = open_image(image, how.base)
    policy = how.policy.model_copy(update=limits)
    entry = Entry(opened, asked, how.contract, policy, engine_for(opened, how.engine, policy.gpu))
    with tempfile.TemporaryDirectory(prefix="cairn-trials-") as folder:
        trials = real_trials(asked, cases, Path(data)) if data else invented_trials(asked, cases, Path(folder))
        report = validate(entry, trials)
    print(as_text(report, as_json))
    if not report.valid:
        raise typer.Exit(1)


def _configuration(path: Path) -> dict[str, Any]:
    """A configuration file as plain data."""
    import yaml

    if not path.is_file():
        raise CairnError(f"{path}: no such file.", "Name a configuration by --configfile.", "missing")
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Two configurations as one, as Snakemake lays several ``--configfile`` over each other."""
    both = dict(below)
    for name, value in above.items():
        under = both.get(name)
        both[name] = _laid_over(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return both


def _task(config: dict[str, Any], name: str) -> Any:
    """A task of the configuration, as a job sees it."""
    from cairn.challenge.contract import suffix_of
    from cairn.config.base import parse
    from cairn.config.tasks import TaskInputs, TaskSpec

    tasks = config.get("tasks", {})
    if name not in tasks:
        raise CairnError(f"No task '{name}'.", f"Known are {', '.join(tasks)}; or name a --configfile.", "unknown")
    own = {k: v for k, v in tasks[name].items() if k in TaskInputs.model_fields}
    suffix_of(own.get("kind", ""))
    return parse(TaskSpec, {**own, "name": name}, f"tasks.{name}")
