"""A linear voxel classifier on a few local features: the plain baseline of segmentation.

Features of a voxel, for each sequence: intensity, two Gaussian means, the square of one, and the difference to the
mirrored place; and the depth below the brain's surface. Penalty and threshold are those of the best Dice over folds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.baselines.features import boxed, slots
from cairn.config.tasks import TaskInputs
from cairn.errors import CairnError
from cairn.ssl.draws import generator
from cairn.tasks.cases import Case
from cairn.tasks.targets import dice

Array = npt.NDArray[Any]
SIGMAS = (1.0, 2.0)
DEPTHS_MM = 30.0
STRENGTHS = (1e-4, 1e-2, 1.0)
THRESHOLDS = tuple(float(t) for t in np.linspace(0.1, 0.95, 18))
FOLDS = 4
SMOOTH_VOXELS = 1.0  # of the probability: single voxels are noise


def voxel_features(task: TaskInputs, case: Case) -> tuple[npt.NDArray[np.float32], Array]:
    """Features of the brain's voxels ``[V, F]``, and the mask of the brain's box that they belong to."""
    from scipy import ndimage

    volumes, mask = boxed(case, len(slots(task)))
    zooms = np.linalg.norm(case.session.geometry.affine[:3, :3], axis=0)
    columns = []
    for volume in volumes:
        smooth = [ndimage.gaussian_filter(volume, sigma) for sigma in SIGMAS]
        mirrored = np.where(mask & mask[::-1], smooth[0] - smooth[0][::-1], 0)
        columns += [volume[mask], *(s[mask] for s in smooth), smooth[0][mask] ** 2, mirrored[mask]]
    depth = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=zooms)[1:-1, 1:-1, 1:-1]
    columns.append(np.minimum(depth[mask] / DEPTHS_MM, 1))
    return np.stack(columns, axis=1).astype(np.float32), mask


def fit_voxels(
    task: TaskInputs, cases: Sequence[Case], targets: Sequence[Array], seed: int, max_voxels: int
) -> tuple[dict[str, Array], dict[str, Any], list[dict[str, Any]]]:
    """Fit the classifier; see `tabular.fit_tabular` for what comes back.

    Args:
        task: its section.
        cases: training cases.
        targets: masks on each session's grid.
        seed: decides folds and voxels.
        max_voxels: voxels that are learned from, a session.

    Raises:
        CairnError: when no case holds a lesion.
    """
    samples = [_sample(task, c, t, seed, i, max_voxels) for i, (c, t) in enumerate(zip(cases, targets, strict=True))]
    if not any(labels.any() for _, labels in samples):
        raise CairnError("No training case holds a lesion.", "A segmentation needs some.", code="one-class")
    folds = _folds([case.session.subject for case in cases], seed)
    scores = np.zeros((len(STRENGTHS), len(THRESHOLDS)))
    for fold in sorted(set(folds)):
        inside = [s for s, f in zip(samples, folds, strict=True) if f != fold]
        models = [_logistic(inside, strength) for strength in STRENGTHS]
        for case, target, own in zip(cases, targets, folds, strict=True):
            if own == fold:
                scores += _dices(task, case, target, models)
    scores /= len(cases)
    best, cut = np.unravel_index(int(np.argmax(scores)), scores.shape)
    records = [{"step": i, "strength": s, "dice": float(scores[i].max())} for i, s in enumerate(STRENGTHS)]
    facts = {"threshold": THRESHOLDS[cut], "penalty": 1 / STRENGTHS[best], "dice": float(scores.max())}
    return _logistic(samples, STRENGTHS[best]), facts, records


def fit_classes(
    task: TaskInputs, cases: Sequence[Case], targets: Sequence[Array], seed: int, max_voxels: int
) -> tuple[dict[str, Array], dict[str, Any], list[dict[str, Any]]]:
    """Fit one classifier a class, each against all else; arguments and results as of `fit_voxels`.

    Raises:
        CairnError: when no case holds one of the classes.
    """
    arrays: dict[str, Array] = {}
    facts: dict[str, Any] = {}
    records: list[dict[str, Any]] = []
    for number, name in enumerate(task.classes, start=1):
        own, found, lines = fit_voxels(task, cases, [t == number for t in targets], seed, max_voxels)
        arrays |= {f"{name}.{key}": value for key, value in own.items()}
        facts[name] = found
        records += [line | {"step": len(records) + i, "class": name} for i, line in enumerate(lines)]
    return arrays, facts, records


def _sample(task: TaskInputs, case: Case, target: Array, seed: int, number: int, most: int) -> tuple[Array, Array]:
    """Up to half lesion voxels, the rest from elsewhere in the brain."""
    features, mask = voxel_features(task, case)
    labels = _in_box(target, case)[mask] > 0
    draw = generator(seed, "voxels", number)
    lesion, other = np.flatnonzero(labels), np.flatnonzero(~labels)
    lesion = draw.permutation(lesion)[: most // 2]
    chosen = np.concatenate([lesion, draw.permutation(other)[: most - len(lesion)]])
    return features[chosen], labels[chosen]


def _in_box(target: Array, case: Case) -> Array:
    origin = case.origin(case.extent)
    return target[tuple(slice(o, o + s) for o, s in zip(origin, case.extent, strict=True))]


def _folds(subjects: Sequence[str], seed: int) -> list[int]:
    names = sorted(set(subjects))
    order = generator(seed, "folds").permutation(len(names))
    fold = {names[place]: int(i) % min(FOLDS, len(names)) for i, place in enumerate(order)}
    return [fold[s] for s in subjects]


def _logistic(samples: Sequence[tuple[Array, Array]], strength: float) -> dict[str, Array]:
    from sklearn.linear_model import LogisticRegression

    features = np.concatenate([f for f, _ in samples]).astype(np.float64)
    labels = np.concatenate([t for _, t in samples])
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale == 0] = 1
    if not labels.any():  # a fold without a lesion predicts none
        return {"coefficient": np.zeros(len(mean)), "intercept": np.array([-30.0]), "mean": mean, "scale": scale}
    model = LogisticRegression(C=strength, max_iter=500).fit((features - mean) / scale, labels)
    return {"coefficient": model.coef_[0], "intercept": model.intercept_, "mean": mean, "scale": scale}


def _dices(task: TaskInputs, case: Case, target: Array, models: Sequence[dict[str, Array]]) -> Array:
    """Dice of each model at each threshold, ``[M, T]``."""
    features, mask = voxel_features(task, case)
    truth = _in_box(target, case) > 0
    maps = [probability_map(features, mask, arrays) for arrays in models]
    return np.array([[dice(p >= t, truth) for t in THRESHOLDS] for p in maps])


def probability_map(features_VF: Array, mask_XYZ: Array, arrays: dict[str, Array]) -> npt.NDArray[np.float32]:
    """Probability of the lesion in the brain's box, smoothed; 0 outside the brain."""
    from scipy import ndimage

    linear = ((features_VF - arrays["mean"]) / arrays["scale"]) @ arrays["coefficient"] + arrays["intercept"][0]
    out = np.zeros(mask_XYZ.shape, np.float32)
    out[mask_XYZ] = 1 / (1 + np.exp(-np.clip(linear, -30, 30)))
    smooth = ndimage.gaussian_filter(out, SMOOTH_VOXELS)
    return np.asarray(np.where(mask_XYZ, smooth, 0), np.float32)


def apply_voxels(task: TaskInputs, arrays: dict[str, Array], case: Case) -> npt.NDArray[np.float32]:
    """Probability of the lesion on the session's grid."""
    features, mask = voxel_features(task, case)
    out = np.zeros(case.session.geometry.shape, np.float32)
    _in_box(out, case)[...] = probability_map(features, mask, arrays)
    return out


def apply_classes(
    task: TaskInputs, arrays: dict[str, Array], facts: Mapping[str, Any], case: Case
) -> npt.NDArray[np.float32]:
    """Probability of background and of each class on the session's grid, ``[C, X, Y, Z]``.

    A classifier's probability is rescaled so that its own threshold lies at one half; background is what the largest
    leaves, so that a class wins where its classifier says yes.
    """
    maps = []
    for name in task.classes:
        own = {key: value for full, value in arrays.items() for owner, key in [full.split(".")] if owner == name}
        p, t = apply_voxels(task, own, case), np.float32(facts[name]["threshold"])
        maps.append(p * (1 - t) / (p * (1 - t) + (1 - p) * t))
    found = np.stack(maps)
    return np.asarray(np.concatenate([1 - found.max(axis=0, keepdims=True), found]), np.float32)
