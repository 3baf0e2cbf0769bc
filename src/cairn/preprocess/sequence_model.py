"""A small model that says which sequence a scan is, how sure it is, and when it does not know.

Several small networks, each blind to one donor head, vote on `cairn.preprocess.sequence_features`. Two things make a
scan stay unknown: the vote is not sure enough, or the scan looks like nothing that the model was trained on
(Mahalanobis distance to the nearest class, Lee et al. 2018, arXiv 1807.03888). Stored as JSON: numbers alone, which
run nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.datasets.layouts.sequences import UNKNOWN
from cairn.errors import CairnError
from cairn.io.atomic import read_json, write_json
from cairn.preprocess.native import NativeScan
from cairn.preprocess.sequence_features import Features, features, names

Floats = npt.NDArray[np.float64]

FORMAT = 1
OTHER = "other"  # the class of what is no scan of a head
LIMIT = 8.0  # spreads from the training data at which a feature is cut: what lies outside shall not extrapolate


@dataclass(frozen=True)
class Answer:
    """What the model says of a scan.

    Attributes:
        sequence: the likeliest sequence; ``unknown`` when the model does not know.
        likeliest: the likeliest class, sure or not.
        confidence: its calibrated probability.
        distance: Mahalanobis distance to the nearest class, in units of the largest that is believed.
    """

    sequence: str
    likeliest: str
    confidence: float
    distance: float


@dataclass(frozen=True)
class SequenceModel:
    """The fitted model.

    Attributes:
        classes: names of the C classes, sorted; one may be ``other``.
        centre: mean of the F features in training, ``[F]``.
        scale: their spread, ``[F]``.
        members: weights of each network: ``hidden [F, H]``, ``hidden_bias [H]``, ``out [H, C]``, ``out_bias [C]``.
        temperature: that the logits are divided by (Guo et al. 2017, arXiv 1706.04599).
        means: class means of the scaled features, ``[C, F]``.
        whiten: ``[F, F]``; the length of a difference times this is its Mahalanobis distance.
        reach: distance beyond which a scan looks like no class.
    """

    classes: tuple[str, ...]
    centre: Floats
    scale: Floats
    members: tuple[dict[str, Floats], ...]
    temperature: float
    means: Floats
    whiten: Floats
    reach: float

    def scaled(self, features_NF: Floats) -> Floats:
        """Features in spreads from the training mean, cut."""
        return np.clip((features_NF - self.centre) / self.scale, -LIMIT, LIMIT)

    def probabilities(self, features_NF: Floats) -> Floats:
        """Probability of each class ``[N, C]``: the mean of the members' votes."""
        x = self.scaled(features_NF)
        votes = [softmax(logits(member, x) / self.temperature) for member in self.members]
        return np.asarray(np.mean(votes, axis=0))

    def distances(self, features_NF: Floats) -> Floats:
        """Distance ``[N]`` to the nearest class that is a sequence, in units of ``reach``."""
        x = self.scaled(features_NF)
        known = [i for i, name in enumerate(self.classes) if name != OTHER]
        each = [np.linalg.norm((x - self.means[i]) @ self.whiten, axis=1) for i in known]
        return np.asarray(np.min(each, axis=0) / self.reach)

    def answer(self, found: Features | None, confidence_min: float) -> Answer:
        """Say what a scan is, from its features (None: it has none)."""
        if found is None:
            return Answer(UNKNOWN, OTHER, 1.0, float("inf"))
        chance = self.probabilities(found[None])[0]
        best, distance = int(chance.argmax()), float(self.distances(found[None])[0])
        name, confidence = self.classes[best], float(chance[best])
        sure = name != OTHER and confidence >= confidence_min and distance <= 1
        return Answer(name if sure else UNKNOWN, name, round(confidence, 4), round(distance, 3))

    def classify(self, scan: NativeScan, confidence_min: float) -> Answer:
        """Say what a scan is."""
        return self.answer(features(scan.data, scan.affine), confidence_min)

    def save(self, path: Path) -> None:
        """Write the model as JSON."""
        write_json(path, {
            "format": FORMAT, "features": names(), "classes": list(self.classes), "temperature": self.temperature,
            "reach": self.reach, "members": [{k: _rounded(v) for k, v in m.items()} for m in self.members],
            **{name: _rounded(getattr(self, name)) for name in ("centre", "scale", "means", "whiten")},
        })  # fmt: skip


def load_model(path: Path) -> SequenceModel:
    """Read a model.

    Raises:
        CairnError: code ``resource``, when it is missing or was made by other code.
    """
    remedy = "Make it again: snakemake sequence_model."
    if not path.is_file():
        raise CairnError(f"{path}: no such model.", remedy, "resource")
    stored = read_json(path)
    if stored.get("format") != FORMAT or stored.get("features") != names():
        raise CairnError(f"{path}: a model of other features than this version takes.", remedy, "resource")
    arrays: dict[str, Any] = {name: np.array(stored[name], float) for name in ("centre", "scale", "means", "whiten")}
    members = tuple({k: np.array(v, float) for k, v in m.items()} for m in stored["members"])
    return SequenceModel(
        tuple(stored["classes"]), members=members, temperature=stored["temperature"], reach=stored["reach"], **arrays
    )


def logits(member: dict[str, Floats], x_NF: Floats) -> Floats:
    """One network: a hidden layer of rectified units. ``[N, C]``."""
    hidden = np.maximum(x_NF @ member["hidden"] + member["hidden_bias"], 0)
    return np.asarray(hidden @ member["out"] + member["out_bias"])


def softmax(logits_NC: Floats) -> Floats:
    """Probabilities ``[N, C]``."""
    shifted = np.exp(logits_NC - logits_NC.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def _rounded(values: Floats) -> Any:
    """Eight digits: the same file from sums that differ in their last bit."""
    return np.vectorize(lambda v: float(f"{v:.8g}"))(values).tolist()
