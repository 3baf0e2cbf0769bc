"""What is wrong in the joint of configuration and runs table, told before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cairn.config.experiment import ExperimentConfig
from cairn.config.runs import Run
from cairn.errors import CairnError


def check_run(experiment: ExperimentConfig, run: Run, table: Path) -> None:
    """A run names what there is, and what fits together.

    Raises:
        CairnError: naming the runs table, the run, and what is known or what to change.
    """
    wanted: dict[str, Mapping[str, object]] = {"network": experiment.networks} if run.method != "classical" else {}
    if run.method == "pretrained":
        wanted |= {"objective": experiment.objectives, "pretrain_data": experiment.datasets}
    for column, known in wanted.items():
        if getattr(run, column) not in known:
            raise CairnError(
                f"{table}: run '{run.run}': {column} '{getattr(run, column)}' is not in the configuration.",
                f"Known: {', '.join(sorted(known))}.", "runs",
            )  # fmt: skip
    if run.method == "pretrained":
        _check_objective(experiment, run, table)
    for name, task in experiment.tasks.items():
        if task.enabled and not getattr(task, run.train_on):
            raise CairnError(
                f"{table}: run '{run.run}' trains on '{run.train_on}' data, which task '{name}' does not name.",
                f"Set tasks.{name}.{run.train_on}, or change the run.", "runs",
            )  # fmt: skip


def _check_objective(experiment: ExperimentConfig, run: Run, table: Path) -> None:
    """An objective that cannot run on its network or with this batch."""
    objective = experiment.objectives[run.objective]
    try:
        objective.check(experiment.networks[run.network])
        objective.check_batch(experiment.pretrain.batch_size)
    except CairnError as error:
        raise CairnError(f"{table}: run '{run.run}': {error.reason}", error.remedy, "runs") from None


def check_splits(experiment: ExperimentConfig, roles: Mapping[str, Sequence[str]]) -> None:
    """A set of the cohort has the donors of its split: used otherwise, a head would be in training and test.

    Raises:
        CairnError: with code ``leak``.
    """
    for name, uses in roles.items():
        spec = experiment.datasets[name].cohort
        for role in uses if spec else ():
            allowed = ("pretrain", "finetune") if role == "pretrain" else (role,)
            if spec and spec.split not in allowed:
                raise CairnError(
                    f"Data set '{name}' is used for '{role}', but its donors are those of split '{spec.split}'.",
                    f"Set datasets.{name}.cohort.split to '{role}', or use another data set.", "leak",
                )  # fmt: skip
