"""The runs table: one row a run. Whoever sweeps a hyper-parameter adds rows, never classes."""

from __future__ import annotations

from collections.abc import Sequence
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
    method: Literal["pretrained", "scratch", "classical", "container"]
    """``pretrained``: self-supervised encoder, then fine-tuned. ``scratch``: the same net and recipe, random
    start. ``classical``: scikit-learn on volumes and intensities. ``container``: an entry, the sealed ``image``."""
    objective: str = ""
    """Name of a section of ``objectives``; for pretrained runs without ``weights``."""
    network: str = ""
    """Name of a section of ``networks``; for pretrained runs and those from scratch."""
    pretrain_data: str = ""
    """Data set of the pretraining; for pretrained runs without ``weights``."""
    data_fraction: float = Field(default=1.0, gt=0, le=1)
    """Share of the pretraining subjects that is used; a smaller share is part of a larger one."""
    steps: int | None = Field(default=None, ge=1)
    """Updates of the pretraining; default: ``pretrain.steps``."""
    weights: str = ""
    """Foreign weights to import instead of pretraining: a safetensors file, absolute or relative to the repository. On
    a track that takes them."""
    mapping: str = ""
    """How their names become ours: a YAML file (`cairn.config.foreign`); default: the names are the same."""
    contract: Literal["", "curia-1", "curia-2"] = Field(default="", exclude_if=lambda v: not v)
    """Tasks with a section ``frozen``: version of the input contract that the encoder is shown slices by, where no
    objective says it: for foreign weights that of their release. Default: ``slices.version``."""
    image: str = Field(default="", exclude_if=lambda v: not v)
    """Of method ``container``: what is run, a folder with a root file system or a ``.sif`` file, absolute or relative
    to the repository (docs/how-to/evaluate-entries.md). On a track that takes entries; the rest stays ``n/a``."""
    encoder: str = ""
    """Another pretrained run whose encoders this run starts from, instead of making its own: what the columns above
    say of that run holds for this one too."""
    seeds: int | None = Field(default=None, ge=1, le=99)
    """Repetitions of this run; default: ``seeds`` of the experiment."""
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
    return tuple(_with_encoder(run, runs, path) for run in runs)


PRETRAINING = ("objective", "network", "pretrain_data", "data_fraction", "steps", "weights", "mapping", "contract")
"""What a run that starts from another's encoders takes over from it."""


def _with_encoder(run: Run, runs: Sequence[Run], path: Path) -> Run:
    """The run with the facts of the run whose encoders it starts from.

    Raises:
        CairnError: when that is no run that pretrains, or the row has facts of its own.
    """
    if not run.encoder:
        return run
    makers = {r.run: r for r in runs if r.method == "pretrained" and not r.encoder}
    if run.method != "pretrained" or run.encoder not in makers:
        raise CairnError(
            f"{path}: run '{run.run}': encoder '{run.encoder}' is not that of a run that pretrains.",
            f"A run of method 'pretrained' may name one of: {', '.join(makers) or 'none here'}.", "runs",
        )  # fmt: skip
    given = sorted(run.model_fields_set & set(PRETRAINING))
    if given:
        raise CairnError(
            f"{path}: run '{run.run}': its encoders are those of '{run.encoder}', so {', '.join(given)} is theirs.",
            "Leave it n/a.", "runs",
        )  # fmt: skip
    maker = makers[run.encoder]
    if (run.seeds or 0) > (maker.seeds or 99):
        reason = f"{path}: run '{run.run}': {run.seeds} seeds, but '{maker.run}' makes {maker.seeds} encoders."
        raise CairnError(reason, "Take no more seeds than it has.", "runs")
    taken = {name: getattr(maker, name) for name in PRETRAINING}
    return run.model_copy(update={**taken, "seeds": run.seeds or maker.seeds})
