"""Kinds of task by name."""

from __future__ import annotations

from collections.abc import Mapping

from cairn.config.tasks import TaskInputs
from cairn.tasks.classification import Classification
from cairn.tasks.multiclass import MulticlassSegmentation
from cairn.tasks.regression import Regression
from cairn.tasks.segmentation import Segmentation
from cairn.tasks.task import Task

TASKS: dict[str, type[Task]] = {
    "classification": Classification,
    "segmentation": Segmentation,
    "regression": Regression,
}


def build_task(config: TaskInputs, facts: Mapping[str, float] | None = None) -> Task:
    """The task that ``config.kind`` names."""
    several = config.kind == "segmentation" and config.classes
    return MulticlassSegmentation(config, facts) if several else TASKS[config.kind](config, facts)
