"""The shuffled-label canary: what has learned from permuted labels must score as chance does.

The plain baseline (with one penalty, not chosen) is fitted to training labels that a seeded permutation has taken from
their cases, and predicts the test set, by the code that reads, fits, predicts and scores the baseline's own run. If its
AUROC is not 0.5, something on the way from labels to score has seen the test labels: they are among those that are
learned from, or choose features or direction.

One permutation tells nothing: 21 labels pick a direction in the space of features, which by chance points along what
the test asks or against it, so that single AUROCs spread from 0.1 to 0.9 without any leak. So each permutation comes
with its complement (0 for 1): an honest linear model then points the other way, the two AUROCs add to 1, and the mean
of the pair is 0.5. The interval is that of the mean of the pairs.

It watches the classical path alone. Training and choice inside a network share the reading of cases and labels and the
scoring with it, and nothing else; and as a pair's mean is 0.5 by construction for an honest linear model, no pair tells
of a network (tests/unit/train/test_shuffled.py fine-tunes small ones on permuted labels instead).

Nor can it see a leak that is tied to the true training labels, such as a copied scan or a scanner that stands for the
diagnosis, for permuting the labels unties it. `cairn.datasets.near_duplicates` and the subgroups of the page are for
those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.baselines.features import session_features
from cairn.baselines.tabular import apply_features, fit_fixed
from cairn.config.base import parse
from cairn.config.tasks import TaskSpec
from cairn.errors import CairnError
from cairn.evaluate.metrics import auroc
from cairn.io.sessions import open_sessions
from cairn.ssl.draws import generator
from cairn.tasks.cases import LabelledSet, labelled_cases
from cairn.tasks.targets import class_label

Array = npt.NDArray[Any]
CONFIDENCE = 0.999  # the check stops the workflow, so its own false alarms must be rare
LEAST = 0.02  # half width at least: pairs of an honest model hardly vary, and a solver's last digits are no leak
PENALTY = 0.01


def label_canary(
    config: Mapping[str, Any], shards: Sequence[Path], labels: Path, test_shards: Sequence[Path], test_labels: Path
) -> dict[str, Any]:
    """Ask the canary of one task of two classes.

    Args:
        config: ``task``, ``seed``, ``permutations``.
        shards: shard indexes of the training set.
        labels: its labels.
        test_shards: shard indexes of the test set.
        test_labels: its labels.

    Returns:
        The mean AUROC and its interval, and the AUROC of every fit.

    Raises:
        CairnError: code ``canary`` when the interval does not cover 0.5.
    """
    task = parse(TaskSpec, config["task"])
    train = labelled_cases(task, open_sessions(shards), labels)
    test = labelled_cases(task, open_sessions(test_shards), test_labels)
    found = canary_scores(
        _features(task, train), _targets(train), _features(task, test), _targets(test), config["seed"],
        config["permutations"],
    )  # fmt: skip
    low, high = canary_interval(found)
    result = {
        "task": task.name, "auroc": round(float(found.mean()), 4), "ci_low": round(low, 4), "ci_high": round(high, 4),
        "confidence": CONFIDENCE, "train": len(train.cases), "test": len(test.cases),
        "fits": [round(float(a), 4) for a in found.ravel()],
    }  # fmt: skip
    if not low <= 0.5 <= high:
        raise CairnError(
            f"Task '{task.name}': the baseline that learned from permuted labels has AUROC {found.mean():.3f} on the "
            f"test, {CONFIDENCE:.1%} interval {low:.3f} to {high:.3f}, and not 0.5.",
            "Test labels reach what is trained, chosen or scored: look at what changed on the way from labels to "
            "score, and believe no number of this task until this is mended.", "canary",
        )  # fmt: skip
    return result


def canary_scores(
    features_NF: Array, targets_N: Array, test_MF: Array, test_M: Array, seed: int, pairs: int
) -> npt.NDArray[np.float64]:
    """AUROC on the test of each permutation of the training labels and of its complement, ``[P, 2]``.

    Raises:
        CairnError: when training or test labels are of one class.
    """
    if len(np.unique(test_M)) < 2:
        raise CairnError("Every test case has the same label.", "Add others.", "one-class")
    found = []
    for pair in range(pairs):
        shuffled = generator(seed, "label canary", pair).permutation(targets_N)
        for labels in (shuffled, 1 - shuffled):
            arrays = fit_fixed("classification", features_NF, labels, PENALTY)
            found.append(auroc(test_M, apply_features("classification", arrays, test_MF)))
    return np.array(found, np.float64).reshape(-1, 2)


def canary_interval(aurocs_P2: Array) -> tuple[float, float]:
    """Student's interval of the mean of the pairs, no narrower than ``LEAST`` to each side."""
    from scipy.special import stdtrit

    means = aurocs_P2.mean(axis=1)
    reach = float(stdtrit(len(means) - 1, 0.5 + 0.5 * CONFIDENCE)) * float(means.std(ddof=1)) / len(means) ** 0.5
    reach = max(reach, LEAST)
    return max(0.0, float(means.mean()) - reach), min(1.0, float(means.mean()) + reach)


def _features(task: TaskSpec, labelled: LabelledSet) -> Array:
    return np.stack([session_features(task, case) for case in labelled.cases])


def _targets(labelled: LabelledSet) -> Array:
    return np.array(
        [float(class_label(case, label)) for case, label in zip(labelled.cases, labelled.labels, strict=True)]
    )
