"""A linear head on fixed features: softmax regression whose learning rate is chosen on held-back cases. Free of torch.

FOMO26's linear probe: logistic regression, 13 rates from 1e-5 to 0.1, 20 epochs, batches of 64. Its optimiser and its
treatment of features are not published; here it is Adam without decay, from zero weights, on features standardised by
the training cases, which makes encoders of different scale comparable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.config.training import ProbeConfig
from cairn.errors import CairnError
from cairn.ssl.draws import generator
from cairn.tasks.targets import auroc
from cairn.train.split import split_subjects

Floats = npt.NDArray[np.float64]
Head = dict[str, Floats]
BETAS, EPSILON = (0.9, 0.999), 1e-8  # Adam's own (Kingma and Ba 2015)


def fit_head(
    features_NF: npt.NDArray[Any], labels: Sequence[int], subjects: Sequence[str], classes: int, config: ProbeConfig,
    seed: int,
) -> tuple[Head, dict[str, Any], list[dict[str, Any]]]:  # fmt: skip
    """Fit a head for every rate and keep the best on the held-back subjects.

    Args:
        features_NF: one row a case.
        labels: class of each case, 0 to ``classes`` - 1.
        subjects: subject of each case; none is on both sides.
        classes: number of classes.
        config: rates, epochs, batches, share held back.
        seed: decides split and order.

    Returns:
        The head (``weight`` ``[K, F]``, ``bias`` ``[K]``, ``mean`` and ``scale`` ``[F]``), facts for the card, and the
        validation of each rate. Best is the highest macro AUROC; of equals the smallest loss.

    Raises:
        CairnError: with fewer than two classes among the training cases (code ``one-class``).
    """
    y = np.asarray(labels)
    train, val = split_subjects(subjects, config.val_share, seed, [int(c) for c in y])
    if len(set(y[train])) < 2:
        raise CairnError("The training cases are all of one class.", "A probe needs two or more.", code="one-class")
    x = np.asarray(features_NF, np.float64)
    mean, scale = x[train].mean(axis=0), x[train].std(axis=0)
    scale[scale == 0] = 1
    x = (x - mean) / scale
    best: tuple[tuple[float, float], Head] | None = None
    records, chosen = [], 0
    for step, rate in enumerate(config.rates):
        weight, bias = descend(x[train], y[train], classes, rate, config, seed)
        probability = softmax(x[val] @ weight.T + bias)
        score = macro_auroc(probability, y[val])
        loss = -float(np.log(np.maximum(probability[np.arange(len(val)), y[val]], 1e-300)).mean())
        records.append({"step": step, "rate": rate, "val_score": _or_none(score), "val_negative_loss": -loss})
        rank = (-np.inf if np.isnan(score) else score, -loss)
        if best is None or rank > best[0]:
            best, chosen = (rank, {"weight": weight, "bias": bias, "mean": mean, "scale": scale}), step
    assert best is not None, "a configuration names at least one rate"
    facts = {
        "best": records[chosen], "features": x.shape[1],
        "cases": {"train": len(train), "val": len(val)},
        "classes": {"train": np.bincount(y[train], minlength=classes).tolist(),
                    "val": np.bincount(y[val], minlength=classes).tolist()},
    }  # fmt: skip
    return best[1], facts, records


def descend(
    x_NF: Floats, y: npt.NDArray[Any], classes: int, rate: float, config: ProbeConfig, seed: int
) -> tuple[Floats, Floats]:
    """Weights ``[K, F]`` and biases ``[K]`` after the configured epochs of Adam on the mean cross-entropy."""
    theta = np.zeros((classes, x_NF.shape[1] + 1))
    first, second, count = np.zeros_like(theta), np.zeros_like(theta), 0
    padded = np.concatenate([x_NF, np.ones((len(x_NF), 1))], axis=1)
    one_hot = np.eye(classes)[y]
    for epoch in range(config.epochs):
        order = generator(seed, "probe order", epoch).permutation(len(padded))
        for start in range(0, len(order), config.batch_size):
            rows = order[start : start + config.batch_size]
            slope = (softmax(padded[rows] @ theta.T) - one_hot[rows]).T @ padded[rows] / len(rows)
            count += 1
            first = BETAS[0] * first + (1 - BETAS[0]) * slope
            second = BETAS[1] * second + (1 - BETAS[1]) * slope**2
            step = first / (1 - BETAS[0] ** count) / (np.sqrt(second / (1 - BETAS[1] ** count)) + EPSILON)
            theta = theta - rate * step
    return np.asarray(theta[:, :-1]), np.asarray(theta[:, -1])


def apply_head(head: Head, features_F: npt.NDArray[Any]) -> Floats:
    """Probabilities of the classes, ``[K]``, of one case."""
    standard = (np.asarray(features_F, np.float64) - head["mean"]) / head["scale"]
    return np.asarray(softmax((head["weight"] @ standard + head["bias"])[None])[0])


def softmax(logits_NK: Floats) -> Floats:
    """Rows that sum to one."""
    power = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    return np.asarray(power / power.sum(axis=1, keepdims=True))


def macro_auroc(probability_NK: Floats, y: npt.NDArray[Any]) -> float:
    """Mean AUROC of each class against the rest, over the classes that have one; NaN where none has."""
    areas = [auroc(row, (y == k).astype(float)) for k, row in enumerate(probability_NK.T)]
    defined = [a for a in areas if not np.isnan(a)]
    return float(np.mean(defined)) if defined else float("nan")


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value
