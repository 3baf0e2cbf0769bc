"""A classical model as a function from a case to a prediction: arrays and NumPy, without scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cairn.baselines.features import session_features
from cairn.baselines.tabular import Array, apply_tabular
from cairn.baselines.voxels import apply_classes, apply_voxels
from cairn.config.tasks import TaskSpec
from cairn.tasks.cases import Case


def classical_predictor(model: Path, meta: Mapping[str, Any]) -> tuple[Callable[[Case], Array], float]:
    """The model's function (a number, or probabilities on the session's grid), and the threshold of a segmentation."""
    from safetensors.numpy import load_file

    arrays = load_file(model)
    task = TaskSpec(**meta["task"])
    if task.classes:
        return lambda case: apply_classes(task, arrays, meta["facts"], case), task.threshold
    if task.kind == "segmentation":
        return lambda case: apply_voxels(task, arrays, case), float(meta["facts"]["threshold"])
    return lambda case: apply_tabular(task, arrays, case), task.threshold


def classical_embedder(
    model: Path, meta: Mapping[str, Any]
) -> tuple[Callable[[Case], Array], dict[str, Array]]:  # fmt: skip
    """A session's features in place of an embedding, and the arrays of the head."""
    from safetensors.numpy import load_file

    task = TaskSpec(**meta["task"])
    return lambda case: session_features(task, case), load_file(model)
