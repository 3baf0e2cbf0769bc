"""The command `cairn`: questions about a finished experiment, asked from the repository's folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cairn.errors import CairnError

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
Experiment = Annotated[
    str, typer.Option("--experiment", "-e", help="Name of the folder under results/; needed where there are several.")
]


@app.callback()
def cairn() -> None:
    """Questions about a finished experiment, asked from the repository's folder."""


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


def main() -> None:
    """Entry of the command; a `CairnError` is one message and status 1."""
    try:
        app()
    except CairnError as error:
        sys.exit(f"cairn: {error}")
