"""Few-shot curves: heads on shares of the training subjects, and, in a job of its own, their scores on the test set."""

from __future__ import annotations

import tempfile
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
from cairn.config.evaluate import EvaluateJob
from cairn.errors import CairnError
from cairn.io.tables import FEW_SHOT_COLUMNS, PREDICTION_COLUMNS, read_table, write_table
from cairn.ssl.draws import generator

COLUMNS = ("share", "draw", "n", *PREDICTION_COLUMNS)


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


def distinct_shares(subjects: Sequence[str], strata: Sequence[int], shares: Sequence[float]) -> dict[float, float]:
    """For each share, the largest one whose subsets are the same, as they are where a stratum has few subjects.

    Args:
        subjects: subject of each item.
        strata: group of each item, the same for all of a subject.
        shares: above 0 and at most 1.
    """
    # Who is kept goes by seed and draw, how many are kept does not: one draw tells for all.
    named: dict[tuple[int, ...], float] = {}
    for share in sorted(shares):
        named[tuple(subset(subjects, strata, share, 0, 0))] = share
    return {share: named[tuple(subset(subjects, strata, share, 0, 0))] for share in shares}


def few_shot_predictions(
    job: HeadJob, features: Features, targets: Path, test_features: Features, predictions: Path, threads: int = 1
) -> dict[str, Any]:
    """Fit a head on every share and draw, and predict the test items; returns facts for the card. Sees no test target.

    The learning rate of each subset is chosen within it; where it has too few subjects to hold some back,
    ``few_shot.rate`` holds. A subset of one class has no head and no rows. Shares that give the same subsets are fitted
    once and have rows once, at the largest of them.

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
    strata = data.strata(job.task.kind)
    named = distinct_shares(data.subjects, strata, curve.shares)
    rows, left, rates = [], {}, []
    for share in dict.fromkeys(named.values()):
        draws = 1 if share == 1 else curve.draws
        for draw in range(draws):
            part = data.rows(subset(data.subjects, strata, share, job.seed, draw))
            try:
                head, facts = _fit(job, part, curve, draw)
            except CairnError as error:
                if error.code != "one-class":
                    raise
                left[f"{share:g}, draw {draw}"] = str(error)
                continue
            rates.append({"share": share, "draw": draw, "n": len(part.x), **facts["best"]})
            rows += [{"share": share, "draw": draw, "n": len(part.x), **r} for r in value_rows(job.task, test, head)]
    write_table(predictions, rows, COLUMNS)
    merged = {f"{share:g}": kept for share, kept in named.items() if share != kept}
    return {"heads": rates, "left_out": left, "merged": merged}


def _fit(job: HeadJob, part: HeadData, curve: FewShotConfig, draw: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A head on a subset; its rate is chosen within, where each class has subjects to hold back and to learn from."""
    group = dict(zip(part.subjects, part.strata(job.task.kind), strict=True))
    sizes = np.bincount(list(group.values()))
    too_few = len(group) < 4 or (
        job.task.kind in ("classification", "probe", "survival") and sizes[sizes > 0].min() < 2
    )
    return choose(job.task, part, job.seed + 1000 * draw, rate=curve.rate if too_few else None)


def few_shot_curve(job: EvaluateJob, predictions: Path, labels: Path, curve: Path) -> dict[str, Any]:
    """Score every share of a curve against the test labels, with the intervals of every other score.

    Args:
        job: run, task, cohort and how to evaluate; its ``seeds`` play no part.
        predictions: from `few_shot_predictions`.
        labels: of the test items.
        curve: the table: one row a share, draw and metric. Column ``seed`` holds the number of the draw, -1 the mean
            over draws; all draws are of the encoder that the predictions rest on.

    Raises:
        CairnError: for labels or predictions that evaluation cannot use.
    """
    from cairn.evaluate.cases import score_cases
    from cairn.evaluate.scores import score_rows
    from cairn.evaluate.tables import as_arrays

    groups: dict[str, dict[int, list[dict[str, str]]]] = {}
    for row in read_table(predictions, COLUMNS):
        groups.setdefault(row["share"], {}).setdefault(int(row["draw"]), []).append(row)
    rows = []
    for share, draws in sorted(groups.items(), key=lambda pair: float(pair[0])):
        by_draw = {}
        for draw, given in draws.items():
            with tempfile.TemporaryDirectory() as folder:
                table = Path(folder) / "predictions.tsv"
                write_table(table, given, PREDICTION_COLUMNS)
                task = job.task
                by_draw[draw] = score_cases(labels, table, task.kind, job.evaluate, task.classes, task.edges)
        n = round(float(np.mean([float(given[0]["n"]) for given in draws.values()])))
        for found in score_rows(job, as_arrays(job.cohort, by_draw)):
            rows.append({**found, "share": share, "n": n})
    write_table(curve, rows, FEW_SHOT_COLUMNS)
    return {"shares": len(groups), "rows": len(rows)}
