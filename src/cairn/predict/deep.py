"""A fine-tuned network as a function from a case to a prediction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cairn.config.networks import parse_network
from cairn.config.tasks import TaskSpec
from cairn.nets.models import build_model
from cairn.nets.weights import load_weights
from cairn.tasks.cases import Case
from cairn.tasks.registry import build_task
from cairn.tasks.targets import Array
from cairn.train.devices import describe, set_up
from cairn.train.inference import Predictor


def deep_predictor(
    model: Path, meta: Mapping[str, Any], device: str, threads: int
) -> tuple[Callable[[Case], Array], dict[str, Any]]:
    """The model's function (a number, or probabilities on the session's grid), and facts for the card.

    Raises:
        CairnError: when the weights do not fit the network that they name.
    """
    where = set_up(device, threads)
    task = build_task(TaskSpec(**meta["task"]), meta["facts"])
    network = build_model(parse_network(meta["network"], str(model)), task.dense, seed=0, outputs=task.outputs)
    report = load_weights(model, network, "model")
    patch = tuple(meta["patch"]) if meta["patch"] else None
    predictor = Predictor(network.to(where), tuple(meta["box"]), patch, where)

    def predict(case: Case) -> Array:
        return np.asarray(task.predict(predictor.logits(case)).numpy())

    return predict, {"tensors": report.to_json(), "step": meta["step"], **describe(where, True)}
