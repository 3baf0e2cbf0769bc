"""The runs table: one row a run. Whoever sweeps a hyper-parameter adds rows, never classes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from cairn.config.base import Section, parse
from cairn.config.modes import FinetuneMode
from cairn.errors import CairnError
from cairn.io.tables import MISSING, read_table


class Run(Section):
    """One row of the runs table: a way to make an encoder, and where its fine-tuning data come from."""

    run: str = Field(pattern=r"^[a-z0-9][a-z0-9_]*$")
    """Identifier; it stands in paths."""
    label: str
    """Name on the leaderboard."""
    method: Literal["pretrained", "scratch", "classical"]
    """``pretrained``: self-supervised encoder, then fine-tuned. ``scratch``: the same net and recipe, random
    start. ``classical``: scikit-learn on volumes and intensities."""
    objective: str = ""
    """Name of a section of ``objectives``; for pretrained runs without ``weights``."""
    network: str = ""
    """Name of a section of ``networks``; for all but classical runs."""
    pretrain_data: str = ""
    """Data set of the pretraining; for pretrained runs without ``weights``."""
    weights: str = ""
    """Foreign weights to import instead of pretraining: a safetensors file, absolute or relative to the repository. On
    track ``open`` alone."""
    mapping: str = ""
    """How their names become ours: a YAML file (`cairn.config.foreign`); default: the names are the same."""
    train_on: Literal["finetune", "indomain"] = "finetune"
    """Which labelled data set of each task trains the run: the few-shot set of the fine-tuning site, or the set from
    the sites of the test."""
    finetune_mode: FinetuneMode | None = None
    """How the encoder is fine-tuned; default: as the recipe says (``finetune.mode``, ``full`` unless set)."""
    ranked: bool = True
    """False: shown on the leaderboard, but takes no place (as FOMO25's baselines)."""
    track: str = "method"
    """Track of the challenge that the run competes in."""


def read_runs(path: Path) -> tuple[Run, ...]:
    """Read a runs table (tab-separated; the header names the fields of `Run`; ``n/a`` takes the default).

    Raises:
        CairnError: for an unknown column, a bad value (naming row and column), a run named twice, or no run at all.
    """
    rows = read_table(path, ["run", "label", "method"])
    runs = []
    for number, row in enumerate(rows, start=2):
        given = {k: v for k, v in row.items() if v not in (MISSING, "")}
        runs.append(parse(Run, given, f"{path}, line {number}"))
    names = [r.run for r in runs]
    for name in names:
        if names.count(name) > 1:
            raise CairnError(f"{path}: run '{name}' stands twice.", "Give every run its own name.", "duplicate")
    if not runs:
        raise CairnError(f"{path}: no runs.", "Add a row.", "empty")
    return tuple(runs)
