"""What a head answers of features. Free of torch but for attention: a job that predicts starts in a second."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.bench.features import Features
from cairn.config.bench import BenchTask
from cairn.errors import CairnError
from cairn.train.head import softmax

Array = npt.NDArray[Any]
Head = dict[str, Array]
SCALING = frozenset({"mean", "scale", "target_mean", "target_scale"})


def same_maker(features: Features, facts: Mapping[str, Any]) -> Features:
    """The features, if the encoder that made them is the head's.

    Raises:
        CairnError: when it is not (code ``features``).
    """
    if features.facts != facts:
        odd = sorted(k for k in {*features.facts, *facts} if features.facts.get(k) != facts.get(k))
        reason = f"{features.path}: these features differ from the head's in {', '.join(odd)}."
        raise CairnError(reason, "Embed both sets with the same encoder.", "features")
    return features


def standard(x: Array, head: Mapping[str, Array]) -> npt.NDArray[np.float32]:
    """Inputs centred and scaled as the training items were."""
    return np.asarray((x.astype(np.float32) - head["mean"]) / head["scale"], np.float32)


def answers(task: BenchTask, head: Mapping[str, Array], x: Array) -> Array:
    """``[N, K]`` probabilities of classes or findings; ``[N]`` probability, years or risk."""
    logits = _logits(task, head, standard(x, head)).astype(np.float64)
    if task.kind in ("classification", "probe"):
        shares = softmax(logits)
        return shares[:, 1] if task.kind == "classification" else shares
    if task.kind == "findings":
        return np.asarray(1 / (1 + np.exp(-np.clip(logits, -700, 700))))
    if task.kind == "regression":
        return np.asarray(logits[:, 0] * float(head["target_scale"][0]) + float(head["target_mean"][0]))
    return np.asarray(logits[:, 0])


def _logits(task: BenchTask, head: Mapping[str, Array], x: npt.NDArray[np.float32]) -> Array:
    """``[N, K]``, float32."""
    if task.frozen.head != "attention":
        return np.asarray(x @ head["weight"].T + head["bias"])
    import torch

    from cairn.bench.heads import attention

    params = {name: torch.from_numpy(np.asarray(a))[None] for name, a in head.items() if name not in SCALING}
    with torch.inference_mode():
        return np.asarray(attention(params, torch.from_numpy(x))[0].numpy())
