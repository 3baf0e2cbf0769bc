"""What is wrong in the joint of configuration and runs table, told before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cairn.challenge.contract import FLAGS, SUFFIXES
from cairn.config.base import parse
from cairn.config.experiment import ExperimentConfig
from cairn.config.foreign import read_mapping
from cairn.config.runs import Run
from cairn.config.tasks import TaskConfig
from cairn.config.tracks import tasks_of
from cairn.config.training import FinetuneConfig
from cairn.errors import CairnError
from cairn.io.release import weights_file
from cairn.sandbox.image import OCI, open_image

ENTRY_COLUMNS = {"run", "label", "method", "image", "track", "ranked"}


def check_run(experiment: ExperimentConfig, run: Run, table: Path) -> None:
    """A run names what there is, and what fits together.

    Raises:
        CairnError: naming the runs table, the run, and what is known or what to change.
    """
    netless = run.method in ("classical", "container")
    wanted: dict[str, Mapping[str, object]] = {} if netless else {"network": experiment.networks}
    if run.method == "pretrained" and not run.weights:
        wanted |= {"objective": experiment.objectives, "pretrain_data": experiment.datasets}
    for column, known in wanted.items():
        if getattr(run, column) not in known:
            raise CairnError(
                f"{table}: run '{run.run}': {column} '{getattr(run, column)}' is not in the configuration.",
                f"Known: {', '.join(sorted(known))}.", "runs",
            )  # fmt: skip
    if run.track not in experiment.tracks:
        reason = f"{table}: run '{run.run}': no track '{run.track}' in the configuration."
        raise CairnError(reason, f"Known: {', '.join(sorted(experiment.tracks))}.", "runs")
    allowed = experiment.tracks[run.track].pretrain_data
    if run.method == "pretrained" and not run.weights and allowed and run.pretrain_data not in allowed:
        reason = f"{table}: run '{run.run}': track '{run.track}' allows pretraining on {', '.join(allowed)} alone."
        raise CairnError(reason, "Change its track or its data.", "track")
    if run.method == "pretrained" and not run.weights:
        _check_objective(experiment, run, table)
    if run.method == "classical" and run.finetune_mode:
        reason = f"{table}: run '{run.run}': a classical run has no encoder, so no finetune_mode."
        raise CairnError(reason, "Write n/a.", "runs")
    enabled = {name: task for name, task in experiment.tasks.items() if task.enabled}
    for name in tasks_of(experiment.tracks, run.track, enabled):
        task = enabled[name]
        _check_kind(experiment, run, name, task, table)
        _check_patch(experiment, run, name, task, table)
        if not getattr(task, run.train_on):
            raise CairnError(
                f"{table}: run '{run.run}' trains on '{run.train_on}' data, which task '{name}' does not name.",
                f"Set tasks.{name}.{run.train_on}, or change the run.", "runs",
            )  # fmt: skip


def recipe_of(experiment: ExperimentConfig, task: str) -> dict[str, Any]:
    """How a task is fine-tuned, or its probe fitted: what holds for all tasks, and what the task says otherwise."""
    section = experiment.probe if experiment.tasks[task].kind == "probe" else experiment.finetune
    return section.model_dump(mode="json") | dict(experiment.tasks[task].recipe)


def _check_kind(experiment: ExperimentConfig, run: Run, name: str, task: TaskConfig, table: Path) -> None:
    """A task on sessions needs a network of volumes or a classical run; one on frozen features an encoder."""
    wrong: tuple[str, str] | None = None
    if run.method == "container" and task.kind not in SUFFIXES:
        wrong = f"task '{name}' is of kind '{task.kind}', which no container contract knows", "another method"
    elif run.method == "container" and not task.on_sessions:
        wrong = f"task '{name}' is told from frozen features, and a sealed image shows none", "another method"
    elif task.on_sessions and run.network and experiment.networks[run.network].dims == 2:
        wrong = f"network '{run.network}' sees slices, but task '{name}' is told from volumes", "a network of volumes"
    elif not task.on_sessions and run.method == "classical":
        wrong = f"task '{name}' is told from frozen features, and a classical run has no encoder", "another method"
    elif not task.on_sessions and run.objective and not _as_shown(experiment, run):
        said = f"objective '{run.objective}' has another contract.size_px than 'slices', and features one side"
        wrong = said, "the same size_px in both"
    elif not task.on_sessions and (run.train_on != "finetune" or run.finetune_mode):
        said = f"task '{name}' has a frozen encoder, and heads of its own training set"
        wrong = said, "n/a in train_on, finetune_mode"
    if wrong:
        reason = f"{table}: run '{run.run}': {wrong[0]}."
        raise CairnError(reason, f"Take {wrong[1]}, or a track without the task (tracks.*.tasks).", "runs")


def _check_patch(experiment: ExperimentConfig, run: Run, name: str, task: TaskConfig, table: Path) -> None:
    """Crops of a segmentation divide by the network's stride; else its job would fail after the pretraining is paid."""
    if task.kind != "segmentation" or not run.network:
        return
    patch = parse(FinetuneConfig, recipe_of(experiment, name), f"tasks.{name}.recipe").patch_voxels
    stride = experiment.networks[run.network].stride
    if patch and any(n % stride for n in patch):
        raise CairnError(
            f"{table}: run '{run.run}': patch_voxels {list(patch)} of task '{name}' does not divide by the stride of "
            f"network '{run.network}', {stride}.",
            f"Set finetune.patch_voxels, or tasks.{name}.recipe, to multiples of {stride}, or take another network.",
            "runs",
        )  # fmt: skip


def _as_shown(experiment: ExperimentConfig, run: Run) -> bool:
    """Whether a run's encoder is shown items of the size that all others see."""
    contract = getattr(experiment.objectives[run.objective], "contract", experiment.slices)
    return bool(contract.size_px == experiment.slices.size_px)


def _check_objective(experiment: ExperimentConfig, run: Run, table: Path) -> None:
    """An objective that cannot run on its network or with this batch."""
    objective = experiment.objectives[run.objective]
    try:
        objective.check(experiment.networks[run.network])
        objective.check_batch(experiment.pretrain.batch_size)
        objective.check_processes(experiment.pretrain.processes)
    except CairnError as error:
        raise CairnError(f"{table}: run '{run.run}': {error.reason}", error.remedy, "runs") from None


def check_foreign(experiment: ExperimentConfig, root: Path, run: Run, table: Path) -> None:
    """Foreign weights: on a track that takes them, instead of a pretraining, and their files are there and readable.

    Raises:
        CairnError: naming the runs table and the run.
    """
    if not run.weights and not run.mapping:
        return
    wrong: tuple[str, str] | None = None
    if not run.weights:
        wrong = "'mapping' without 'weights'.", "Name the weights that it maps, or write n/a."
    elif run.method != "pretrained":
        wrong = f"foreign weights with method '{run.method}'.", "Set method to 'pretrained'."
    elif not experiment.tracks[run.track].foreign_weights:
        takers = ", ".join(name for name, track in experiment.tracks.items() if track.foreign_weights)
        wrong = (
            f"foreign weights on track '{run.track}', where pretraining sees the given data alone.",
            f"Set track to one that takes them ({takers or 'none here'}), or pretrain an encoder.",
        )
    elif run.objective or run.pretrain_data:
        wrong = "foreign weights and an objective or pretrain_data.", "An encoder is imported or pretrained: keep one."
    elif not weights_file(root / run.weights).is_file():
        wrong = f"weights {root / run.weights}: no such file.", "Put it there, or mend the path."
    if wrong:
        raise CairnError(f"{table}: run '{run.run}': {wrong[0]}", wrong[1], "runs")
    if run.mapping:
        read_mapping(root / run.mapping)


def check_entry(experiment: ExperimentConfig, root: Path, run: Run, table: Path) -> None:
    """An entry: its image is there, its track takes it, its contract can carry its tasks' scans; nothing else is said.

    Raises:
        CairnError: naming the runs table and the run.
    """
    if run.method != "container":
        if run.image:
            reason = f"{table}: run '{run.run}': an image with method '{run.method}'."
            raise CairnError(reason, "Set method to 'container', or write n/a.", "runs")
        return
    given, track = sorted(run.model_fields_set - ENTRY_COLUMNS), experiment.tracks[run.track]
    wrong: tuple[str, str] | None = None
    if given:
        wrong = f"{', '.join(given)}: an entry is a sealed image, made elsewhere.", "Write n/a."
    elif not run.image or run.image.startswith(OCI):
        said = f"image '{run.image}' is no file or folder, whose content the lineage could hold" if run.image else ""
        wrong = f"{said or 'no image'}.", "Name a .sif file or a folder; `apptainer build x.sif docker://…` makes one."
    elif not track.takes_images:
        takers = ", ".join(name for name, other in experiment.tracks.items() if other.takes_images)
        wrong = (
            f"a sealed image on track '{run.track}': no lineage tells what it was pretrained on.",
            f"Set track to one that takes it ({takers or 'none here'}), or tracks.{run.track}.containers to true.",
        )
    if wrong:
        raise CairnError(f"{table}: run '{run.run}': {wrong[0]}", wrong[1], "runs")
    try:
        open_image(root / run.image)
    except CairnError as error:
        raise CairnError(f"{table}: run '{run.run}': image {error.reason}", error.remedy, "runs") from None
    _check_scans(experiment, run, table)


def _check_scans(experiment: ExperimentConfig, run: Run, table: Path) -> None:
    """The contract has an argument for every sequence of an entry's tasks."""
    known = FLAGS[experiment.challenge.contract]
    enabled = {name: task for name, task in experiment.tasks.items() if task.enabled}
    for name in tasks_of(experiment.tracks, run.track, enabled):
        task = enabled[name]
        strange = [s for s in task.sequences if s not in known] if task.kind != "probe" else []
        if strange:
            reason = (
                f"{table}: run '{run.run}': {experiment.challenge.contract} has no argument for {strange[0]} ({name})."
            )
            raise CairnError(reason, f"It has them for {', '.join(known)}.", "runs")


def check_splits(experiment: ExperimentConfig, roles: Mapping[str, Sequence[str]]) -> None:
    """A set of the cohort has the donors of its split: used otherwise, a head would be in training and test.

    Raises:
        CairnError: with code ``leak``.
    """
    for name, uses in roles.items():
        spec = experiment.datasets[name].cohort
        for role in uses if spec else ():
            allowed = {"pretrain": ("pretrain", "finetune"), "validation": ("finetune",)}.get(role, (role,))
            if spec and spec.split not in allowed:
                raise CairnError(
                    f"Data set '{name}' is used for '{role}', but its donors are those of split '{spec.split}'.",
                    f"Set datasets.{name}.cohort.split to '{role}', or use another data set.", "leak",
                )  # fmt: skip
        published = experiment.datasets[name].published
        for role in uses if published else ():
            wanted = {"finetune": "train", "validation": "val", "test": "test"}.get(role)
            if published and published.split != wanted:
                raise CairnError(
                    f"Data set '{name}' is used for '{role}', but it is the published split '{published.split}'.",
                    f"Use a data set of split '{wanted}': the published splits hold different people.", "leak",
                )  # fmt: skip
