"""Commands of a challenge: predict a case, package an entry, check an image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cairn.errors import CairnError

Scan = Annotated[Path | None, typer.Option(help="A scan, NIfTI.")]
Row = Annotated[str, typer.Option(help="Row of the leaderboard.")]
Experiment = Annotated[
    str, typer.Option("--experiment", "-e", help="Folder under results/; needed where there are several.")
]
Seed = Annotated[int, typer.Option(help="Repetition whose model answers.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(predict)
    app.command()(package)


def predict(
    task: Annotated[str, typer.Option(help="Task; with --bundle its own.")] = "",
    out: Annotated[Path, typer.Option(help="The answer: .txt, .nii.gz or .npy.")] = Path(),
    run: Row = "",
    experiment: Experiment = "",
    seed: Seed = 0,
    bundle: Annotated[Path | None, typer.Option(help="A bundle, instead of a finished experiment.")] = None,
    picture: Annotated[Path | None, typer.Option(help="A PNG file: the scans with the answer.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "cpu",
    flair: Scan = None,
    adc: Scan = None,
    dwi: Annotated[Path | None, typer.Option("--dwi", "--dwi_b1000", help="A scan, NIfTI.")] = None,
    t2s: Scan = None,
    swi: Scan = None,
    t1: Scan = None,
    t2: Scan = None,
    t1c: Scan = None,
    pd: Scan = None,
) -> None:
    """Predict one case from its raw scans, as a container does: any of the task's sequences, in any order.

    Takes the model of a finished experiment's row, or a bundle. A bad scan is refused with what to do; no answer is
    written by halves.
    """
    from cairn.challenge.bundle import bundle_of, open_bundle
    from cairn.challenge.command import scans_of
    from cairn.challenge.picture import draw
    from cairn.challenge.predict_case import predict_case
    from cairn.cli import results_of

    if out == Path():
        raise CairnError("Where does the answer go?", "Name a file: --out.", "arguments")
    if bundle is None and not (task and run):
        raise CairnError("Which model?", "Name --task and --run, or a --bundle.", "arguments")
    if device not in ("auto", "cpu", "cuda"):
        raise CairnError(f"No device '{device}'.", "Name auto, cpu or cuda.", "arguments")
    opened = open_bundle(bundle) if bundle else bundle_of(results_of(experiment), run, task, seed)
    given = {
        "flair": flair, "adc": adc, "dwi": dwi, "t2s": t2s, "swi": swi, "t1": t1, "t2": t2, "t1c": t1c, "pd": pd,
    }  # fmt: skip
    done = predict_case(opened, scans_of(opened, given), out, device=device)  # type: ignore[arg-type]
    for note in done.notes:
        typer.echo(note, err=True)
    told = f": {done.value}" if done.value else ""
    typer.echo(f"{out}{told} ({opened.title}, from {', '.join(done.used)})")
    if picture:
        draw(done, opened.job.task, opened.title, out, picture)
        typer.echo(f"{picture}")


def package(
    run: Annotated[str, typer.Argument(help="Row of the leaderboard.")],
    task: Annotated[str, typer.Option(help="Task.")],
    out: Annotated[Path, typer.Option(help="New folder for the build context.")],
    experiment: Experiment = "",
    seed: Seed = 0,
    sif: Annotated[Path | None, typer.Option(help="Build this image too, by Apptainer.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Build from base.sif and wheels/ in the folder.")] = False,
) -> None:
    """Make a container entry of a row: a build context for Apptainer and Docker, and with --sif the image."""
    from cairn.challenge.bundle import bundle_of
    from cairn.challenge.package import build
    from cairn.challenge.package import package as write
    from cairn.cli import results_of

    card = write(bundle_of(results_of(experiment), run, task, seed), out, Path())
    typer.echo(f"{out}: {card['app_mb']} MB beside Python and its packages.")
    if sif:
        size = build(out, sif, "entry-offline.def" if offline else "entry.def")
        typer.echo(f"{sif}: {size:.0f} MB.")
    typer.echo(f"Try it: cairn validate {sif or out} --task {task}")
