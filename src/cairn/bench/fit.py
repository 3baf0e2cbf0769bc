"""Fit a head on one encoder's features; its rate is chosen on held-back subjects, never on the test set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cairn.bench.answers import Head, answers, same_maker, standard
from cairn.bench.features import Features
from cairn.bench.heads import FORWARD, MAKERS
from cairn.bench.inputs import head_inputs
from cairn.bench.sgd import descend, loss_of
from cairn.bench.survival import fit_cox, partial_loss
from cairn.bench.targets import Targets, read_targets, targets_of
from cairn.config.bench import PUBLISHED, BenchKind, BenchTask, HeadJob, SweepConfig
from cairn.errors import CairnError
from cairn.evaluate.metrics.survival import concordance
from cairn.io.atomic import sha256
from cairn.nets.weights import save_weights
from cairn.ssl.draws import derived_seed, generator
from cairn.tasks.targets import auroc
from cairn.train.head import macro_auroc
from cairn.train.split import split_subjects

Array = npt.NDArray[Any]
Score = tuple[float, float]
UNDEFINED: Score = (float("nan"), float("nan"))


@dataclass(frozen=True)
class HeadData:
    """What a head is fitted on: inputs ``[N, D]`` or ``[N, L, D]``, targets, subjects."""

    x: Array
    targets: Targets
    subjects: list[str]

    def strata(self, kind: BenchKind) -> list[int]:
        """Group of each item that splits and subsets keep in proportion: its class; one group for all where a subject
        shows several classes, for subjects stay whole.
        """
        groups = self.targets.strata(kind)
        shown = set(zip(self.subjects, groups, strict=True))
        return [0] * len(groups) if len(shown) > len(set(self.subjects)) else groups

    def rows(self, places: Sequence[int]) -> HeadData:
        """Some of the items."""
        return HeadData(self.x[list(places)], self.targets.rows(places), [self.subjects[i] for i in places])


def read_data(task: BenchTask, features: Features, targets: Path) -> HeadData:
    """Items that have a target, in the order of the features.

    Raises:
        CairnError: when none has, or a target is not among the features.
    """
    rows = read_targets(targets, task)
    keys = [key for key in features.keys if key in rows]
    if not keys or len(keys) < len(rows):
        lost = next((key for key in rows if key not in set(keys)), "all")
        reason = f"{targets}: {len(rows)} targets, of which {features.path} has {len(keys)} ({lost} is absent)."
        raise CairnError(reason, "Make items, features and targets of the same data set.", "no-items")
    x = head_inputs(features, keys, task.frozen)
    return HeadData(x, targets_of(rows, keys, task, targets), [rows[key]["subject"] for key in keys])


def fit_head(
    job: HeadJob, features: Features, targets: Path | None, head: Path, val_features: Features | None = None,
    val_targets: Path | None = None, threads: int = 1,
) -> dict[str, Any]:  # fmt: skip
    """Fit the head of one task and write it once.

    Args:
        job: the task and the seed.
        features: of the training items.
        targets: of the training items; a registration has none.
        head: the file: safetensors, with the task and what made the features in its metadata.
        val_features: of a validation part, where the data set has one; else subjects are held back.
        val_targets: its targets.
        threads: of torch.

    Returns:
        Facts for the card, among them the validation of every rate.

    Raises:
        CairnError: for items, features or targets that do not fit each other, and for training items of one class.
    """
    torch.set_num_threads(threads)
    if job.task.kind == "registration":
        from cairn.bench.registration import fit_basis

        tensors, facts = fit_basis(features, job.task.frozen.registration)
    elif targets is None:
        raise CairnError(f"{job.task.name}: no targets.", "Give those of the training items.", "no-labels")
    else:
        data = read_data(job.task, features, targets)
        held = None
        if val_features is not None and val_targets is not None:
            held = read_data(job.task, same_maker(val_features, features.facts), val_targets)
        tensors, facts = choose(job.task, data, job.seed, held)
    meta = {
        "kind": "head", "task": job.task.model_dump(mode="json"), "features": features.facts, "facts": facts,
        "people": sorted(_people(features, val_features)),
    }  # fmt: skip
    save_weights(head, {n: torch.from_numpy(np.ascontiguousarray(a)) for n, a in tensors.items()}, meta)
    return {**facts, "head_sha256": sha256(head)}


def _people(*parts: Features | None) -> set[str]:
    """Who is in published training items; sets that the workflow makes have names of their own, which say nothing."""
    return {key.split("/", 1)[0] for part in parts if part and part.form == PUBLISHED for key in part.keys}


def choose(
    task: BenchTask, data: HeadData, seed: int, held: HeadData | None = None, rate: float | None = None
) -> tuple[Head, dict[str, Any]]:
    """Fit a head for every rate (or ridge) and keep the best on held-back subjects.

    With several splits, the rate of the best mean is fitted again on all items.

    Args:
        task: kind, head, recipe.
        data: training items.
        seed: start, order, split.
        held: a validation part of its own; none: subjects of ``data`` are held back.
        rate: no choice: fit on all of ``data`` with this rate (ridge 1 for survival).

    Returns:
        Arrays of the head, and facts: the validation of every rate, and how many items chose it.

    Raises:
        CairnError: with one class, or no event, in training (code ``one-class``).
    """
    sweep, name = task.frozen.sweep, "ridge" if task.kind == "survival" else "rate"
    settings = list(sweep.ridges if task.kind == "survival" else sweep.rates)
    scores: list[Score] = [UNDEFINED]
    used, back = data, 0
    if rate is not None:
        settings = [1.0 if task.kind == "survival" else rate]
        heads = _fit(task, data, settings, seed)
    elif held is not None:
        heads, back = _fit(task, data, settings, seed), len(held.x)
        scores = [validate(task, head, held) for head in heads]
    elif sweep.splits > 1:
        heads, scores = [], _mean_scores(task, data, settings, seed)
    else:
        used, held = _hold_back(task, data, seed)
        heads, back = _fit(task, used, settings, seed), len(held.x)
        scores = [validate(task, head, held) for head in heads]
    best = max(range(len(scores)), key=lambda n: tuple(-np.inf if np.isnan(v) else v for v in scores[n]))
    records = [
        {name: s, "val_score": _or_none(score), "val_negative_loss": _or_none(loss)}
        for s, (score, loss) in zip(settings, scores, strict=True)
    ]
    facts = {
        "best": records[best], "sweep": records, "at_border": len(settings) > 1 and best in (0, len(settings) - 1),
        "items": {"train": len(used.x), "val": back}, "features": int(data.x.shape[-1]),
    }  # fmt: skip
    return heads[best] if heads else _fit(task, data, [settings[best]], seed)[0], facts


def _hold_back(task: BenchTask, data: HeadData, seed: int) -> tuple[HeadData, HeadData]:
    """Items to learn from, and those of held-back subjects."""
    places, back = split_subjects(data.subjects, task.frozen.sweep.val_share, seed, data.strata(task.kind))
    return data.rows(places), data.rows(back)


def _mean_scores(task: BenchTask, data: HeadData, settings: Sequence[float], seed: int) -> list[Score]:
    """Validation of every setting, mean over random splits; one that diverges in any is undefined.

    Raises:
        CairnError: when no split leaves something to learn from (code ``one-class``).
    """
    found: list[list[Score]] = []
    for number in range(task.frozen.sweep.splits):
        part, held = _hold_back(task, data, derived_seed(seed, "head split", number))
        try:
            found.append([validate(task, head, held) for head in _fit(task, part, settings, seed)])
        except CairnError as error:
            if error.code != "one-class" or (not found and number == task.frozen.sweep.splits - 1):
                raise
    scores, losses = np.moveaxis(np.array(found), -1, 0)
    defined = ~np.isnan(scores)
    mean = np.where(defined, scores, 0).sum(axis=0) / np.maximum(defined.sum(axis=0), 1)
    diverged = np.isnan(losses).any(axis=0) | ~defined.any(axis=0)
    return list(zip(np.where(diverged, np.nan, mean).tolist(), losses.mean(axis=0).tolist(), strict=True))


def _fit(task: BenchTask, data: HeadData, settings: Sequence[float], seed: int) -> list[Head]:
    """A head for every rate or ridge."""
    _check_targets(task, data)
    scaling = _scaling(task, data)
    if task.kind == "survival":
        return _cox_heads(task, data, scaling, settings)
    return _sgd_heads(task, data, scaling, settings, seed)


def _check_targets(task: BenchTask, data: HeadData) -> None:
    if task.kind == "survival":
        lacking = not data.targets.event.any()
    else:
        columns = data.targets.findings if task.kind == "findings" else data.targets.value[:, None]
        lacking = bool((np.ptp(columns, axis=0) == 0).all())
    if lacking:
        what = "no event" if task.kind == "survival" else "one value of the target"
        raise CairnError(f"{task.name}: the training items have {what}.", "A head needs two or more.", "one-class")


def _scaling(task: BenchTask, data: HeadData) -> Head:
    """Centre and scale of features, and of a regression's target, from the training items."""
    flat = data.x.reshape(-1, data.x.shape[-1]).astype(np.float64)
    width = flat.shape[1]
    centre, scale = np.zeros(width), np.ones(width)
    if task.frozen.sweep.standardise or task.kind == "survival":
        centre, spread = flat.mean(axis=0), flat.std(axis=0)
        scale = np.where(spread > 0, spread, 1.0)
    found = {"mean": centre.astype(np.float32), "scale": scale.astype(np.float32)}
    if task.kind == "regression":
        value = data.targets.value
        found |= {
            "target_mean": np.array([value.mean()], np.float32), "target_scale": np.array([value.std()], np.float32),
        }  # fmt: skip
    return found


def _cox_heads(task: BenchTask, data: HeadData, scaling: Head, ridges: Sequence[float]) -> list[Head]:
    x = standard(data.x, scaling).astype(np.float64)
    found = [fit_cox(x, data.targets.value, data.targets.event, ridge) for ridge in ridges]
    return [{**scaling, "weight": w[None].astype(np.float32), "bias": np.zeros(1, np.float32)} for w in found]


def _sgd_heads(task: BenchTask, data: HeadData, scaling: Head, rates: Sequence[float], seed: int) -> list[Head]:
    sweep: SweepConfig = task.frozen.sweep
    x = torch.from_numpy(standard(data.x, scaling))
    start = MAKERS[task.frozen.head](x.shape[-1], task.outputs, sweep.init_std, generator(seed, "head"))
    wanted = data.targets.findings if task.kind == "findings" else data.targets.value
    if task.kind == "regression":
        wanted = (wanted - scaling["target_mean"][0]) / scaling["target_scale"][0]
    target = torch.from_numpy(wanted.astype(np.float32))
    forward, loss = FORWARD[task.frozen.head], loss_of(task.kind)
    fitted = descend(x, target, start, forward, loss, rates, sweep, seed)
    return [{**scaling, **{n: p[r].numpy() for n, p in fitted.items()}} for r in range(len(rates))]


def validate(task: BenchTask, head: Mapping[str, Array], held: HeadData) -> Score:
    """Score of a head on held-back items, higher is better, and the negative loss that parts equals.

    Macro AUROC for classes and findings, negative mean absolute error, concordance. NaN where undefined or diverged.
    """
    found, t = answers(task, head, held.x), held.targets
    if not np.isfinite(found).all():
        return UNDEFINED
    if task.kind == "regression":
        error = np.abs(found - t.value)
        return -float(error.mean()), -float((error**2).mean())
    if task.kind == "survival":
        index = concordance(t.value, t.event, found)
        return (float("nan") if index is None else index), -partial_loss(found, t.value, t.event)
    if task.kind == "findings":
        areas = [auroc(found[:, k], t.findings[:, k]) for k in range(found.shape[1])]
        defined = [a for a in areas if not np.isnan(a)]
        chance = np.where(t.findings == 1, found, 1 - found)
        return (float(np.mean(defined)) if defined else float("nan")), float(np.log(np.maximum(chance, 1e-300)).mean())
    shares = np.stack([1 - found, found], axis=1) if found.ndim == 1 else found
    chance = shares[np.arange(len(shares)), t.value.astype(int)]
    return macro_auroc(shares, t.value), float(np.log(np.maximum(chance, 1e-300)).mean())


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
