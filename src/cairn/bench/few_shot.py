"""Few-shot heads: fitted on shares of the training subjects; `cairn.bench.curve` scores them, in a job of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cairn.bench.answers import same_maker
from cairn.bench.features import Features
from cairn.bench.fit import HeadData, choose, read_data
from cairn.bench.predict import value_rows
from cairn.config.bench import FewShotConfig, HeadJob
from cairn.errors import CairnError
from cairn.io.tables import FEW_SHOT_PREDICTION_COLUMNS, write_table
from cairn.ssl.draws import generator


def subset(subjects: Sequence[str], strata: Sequence[int], share: float, seed: int, draw: int) -> list[int]:
    """Places of the items of a share of each stratum's subjects, one at least; a smaller share is part of a larger.

    Args:
        subjects: subject of each item.
        strata: group of each item, the same for all of a subject.
        share: above 0 and at most 1.
        seed: decides who.
        draw: number of the subset.
    """
    group: dict[str, int] = {}
    for subject, stratum in zip(subjects, strata, strict=True):
        group.setdefault(subject, stratum)
    kept: set[str] = set()
    for stratum in sorted(set(group.values())):
        members = sorted(s for s, g in group.items() if g == stratum)
        order = generator(seed, "few-shot", draw, stratum).permutation(len(members))
        kept |= {members[i] for i in order[: max(1, round(share * len(members)))]}
    return [n for n, subject in enumerate(subjects) if subject in kept]


def few_shot_predictions(
    job: HeadJob, features: Features, targets: Path, test_features: Features, predictions: Path, threads: int = 1
) -> dict[str, Any]:
    """Fit a head on every share and draw, and predict the test items; returns facts for the card. Sees no test target.

    The learning rate of each subset is chosen within it; where it has too few subjects to hold some back,
    ``few_shot.rate`` holds. A subset of one class has no head and no rows; where several shares come to the same
    subjects, the largest alone has.

    Args:
        job: the task, with ``frozen.few_shot``.
        features: of the training items.
        targets: of the training items.
        test_features: of the test items.
        predictions: the table: share, draw, number of training items, and the columns of a table of predictions.
        threads: of torch.

    Raises:
        CairnError: when the task has no curve, or files do not fit each other.
    """
    curve = job.task.frozen.few_shot
    if curve is None or job.task.kind == "registration":
        raise CairnError(f"{job.task.name}: no few-shot curve.", "Give the task 'frozen.few_shot'.", "config")
    torch.set_num_threads(threads)
    data = read_data(job.task, features, targets)
    test = same_maker(test_features, features.facts)
    rows, left, rates = [], {}, []
    for share, draw, places in _subsets(data, job, curve):
        part = data.rows(places)
        try:
            head, facts = _fit(job, part, curve, draw)
        except CairnError as error:
            if error.code != "one-class":
                raise
            left[f"{share:g}, draw {draw}"] = str(error)
            continue
        rates.append({"share": share, "draw": draw, "n": len(part.x), **facts["best"]})
        rows += [{"share": share, "draw": draw, "n": len(part.x), **r} for r in value_rows(job.task, test, head)]
    write_table(predictions, rows, FEW_SHOT_PREDICTION_COLUMNS)
    return {"heads": rates, "left_out": left}


def _subsets(data: HeadData, job: HeadJob, curve: FewShotConfig) -> list[tuple[float, int, list[int]]]:
    """Share, draw and places of every subset. Of shares that come to the same few subjects the largest stands."""
    found = []
    strata = data.strata(job.task.kind)
    for draw in range(curve.draws):
        larger: list[int] = []
        for share in sorted(curve.shares, reverse=True):
            places = subset(data.subjects, strata, share, job.seed, draw)
            if places != larger and (share < 1 or draw == 0):
                found.append((share, draw, places))
            larger = places
    return sorted(found)


def _fit(job: HeadJob, part: HeadData, curve: FewShotConfig, draw: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A head on a subset; its rate is chosen within, where each class has subjects to hold back and to learn from."""
    group = dict(zip(part.subjects, part.strata(job.task.kind), strict=True))
    sizes = np.bincount(list(group.values()))
    too_few = len(group) < 4 or (
        job.task.kind in ("classification", "probe", "survival") and sizes[sizes > 0].min() < 2
    )
    return choose(job.task, part, job.seed + 1000 * draw, rate=curve.rate if too_few else None)
