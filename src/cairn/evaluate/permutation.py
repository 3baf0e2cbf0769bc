"""Paired permutation tests between runs: each subject's predictions of the two runs change sides or stay.

Under the null hypothesis of two interchangeable runs, every such exchange is as likely as what was seen. For a metric
that is a mean over cases, and for AUROC, concordance and R² as well, the difference of the two runs is linear in the
exchange's signs, so that all runs and permutations are one matrix product. AUROC and concordance work on each run's
ranks and Pearson r on standardised
predictions: no such metric depends on a run's scale, and so must not its test.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.evaluate.metrics.multiclass import f1, mean_of_defined
from cairn.evaluate.metrics.survival import comparable, ordered
from cairn.evaluate.resampling import case_values, generator
from cairn.evaluate.tables import RunCases

Floats = npt.NDArray[np.float64]
Pair = tuple[int, int]
CHUNK = 4096
TIE = 1e-9


def paired_p_values(
    metric: str, runs: Sequence[RunCases], pairs: Sequence[Pair], permutations: int, key: Sequence[object], cap: float
) -> list[float | None]:
    """Two-sided p-value of every pair of runs, seeds averaged.

    With more possible exchanges than ``permutations``, these are drawn and p is ``(b + 1) / (m + 1)`` (Phipson & Smyth
    2010, never 0); else all are listed and p is exact.

    Args:
        metric: one of `cairn.config.evaluate.MetricName`.
        runs: cases of every run, the same test cases in the same order.
        pairs: which runs to compare, as positions in ``runs``.
        permutations: number of drawn exchanges.
        key: keys the generator.
        cap: largest absolute error that counts (``mae``, ``r2``).

    Returns:
        One p-value a pair; None where the metric is undefined for either run.
    """
    if not pairs:
        return []
    _, member = np.unique(np.asarray(runs[0].subjects), return_inverse=True)
    statistic = {"pearson_r": _pearson, "f1_macro": _f1}.get(metric, _linear)
    observed, evaluate = statistic(metric, runs, pairs, member, cap)
    reach = np.abs(observed) - TIE
    exceed, drawn = np.zeros(len(pairs), np.int64), 0
    exact = 2 ** min(int(member.max()) + 1, 62) <= permutations
    for signs in _signs(int(member.max()) + 1, permutations, exact, key):
        exceed += (np.abs(evaluate(signs)) >= reach).sum(axis=0)
        drawn += len(signs)
    p = exceed / drawn if exact else (exceed + 1) / (drawn + 1)
    return [None if np.isnan(o) else float(v) for o, v in zip(observed, p, strict=True)]


def _signs(units: int, permutations: int, exact: bool, key: Sequence[object]) -> Iterator[Floats]:
    """Sign matrices ``[chunk, units]`` of +1 (stay) and -1 (change sides)."""
    if exact:
        numbers = np.arange(2**units)
        for start in range(0, len(numbers), CHUNK):
            bits = numbers[start : start + CHUNK, None] >> np.arange(units) & 1
            yield 1.0 - 2.0 * bits
        return
    draw = generator("permutation", *key)
    for start in range(0, permutations, CHUNK):
        rows = min(CHUNK, permutations - start)
        bits = np.unpackbits(draw.integers(0, 256, (rows, -(-units // 8)), dtype=np.uint8), axis=1)
        yield 1.0 - 2.0 * bits[:, :units].astype(float)


def _linear(
    metric: str, runs: Sequence[RunCases], pairs: Sequence[Pair], member: Any, cap: float
) -> tuple[Floats, Any]:
    """Observed differences ``[pairs]``, and the function from signs ``[c, units]`` to differences ``[c, pairs]``."""
    special = {"auroc": _plain_column, "auroc_ovr": _ovr_column, "auroc_mean": _findings_column}
    special["concordance"] = _concordance_column
    if metric in special:
        columns = [special[metric](runs[a], runs[b]) for a, b in pairs]
    elif metric == "r2":
        columns = [_r2_column(runs[a], runs[b], cap) for a, b in pairs]
    else:
        means = [case_values(metric, r, cap).mean(axis=0) / len(r.keys) for r in runs]
        columns = [means[a] - means[b] for a, b in pairs]
    matrix = _by_unit(np.stack(columns, axis=1), member)
    return matrix.sum(axis=0), lambda signs: signs @ matrix


def _by_unit(columns: Floats, member: Any) -> Floats:
    """Sum the rows of the cases of one subject: ``[cases, k]`` to ``[units, k]``."""
    out = np.zeros((int(member.max()) + 1, columns.shape[1]))
    np.add.at(out, member, columns)
    return out


def _r2_column(a: RunCases, b: RunCases, cap: float) -> Floats:
    """What each case adds to the difference of R²: its squared errors, over the spread of the labels."""
    errors = [(np.minimum(np.abs(run.prediction - run.label), cap) ** 2).mean(axis=0) for run in (a, b)]
    spread = float(((a.label - a.label.mean()) ** 2).sum())
    return np.asarray((errors[1] - errors[0]) / spread if spread > 0 else np.full(len(a.label), np.nan))


def _concordance_column(a: RunCases, b: RunCases) -> Floats:
    """As `_auroc_column`, with the pairs that survival can compare in place of a positive and a negative case."""
    pairs = comparable(a.label, a.events)
    combinations = list(itertools.product(_rank_rows(a.prediction), _rank_rows(b.prediction)))
    if not pairs.any():
        return np.full(len(a.label), np.nan)
    column = np.zeros(len(a.label))
    for x, y in combinations:
        same, crossed = ordered(x, x) - ordered(y, y), ordered(x, y) - ordered(y, x)
        column += (pairs * (same + crossed)).sum(axis=1) + (pairs * (same - crossed)).sum(axis=0)
    return np.asarray(column / (4.0 * pairs.sum() * len(combinations)))  # halves, of pairs that are counted twice


def _plain_column(a: RunCases, b: RunCases) -> Floats:
    """`_auroc_column` of two runs on a task of two classes."""
    return _auroc_column(a.label == 1, a.prediction, b.prediction)


def _ovr_column(a: RunCases, b: RunCases) -> Floats:
    """As `_auroc_column`, for the mean over the classes that have an area."""
    columns = [_auroc_column(a.label == k, a.parts[name], b.parts[name]) for k, name in enumerate(a.parts)]
    return _mean_column(columns)


def _findings_column(a: RunCases, b: RunCases) -> Floats:
    """As `_ovr_column`, over findings."""
    return _mean_column([_plain_column(a.of_finding(name), b.of_finding(name)) for name in a.findings])


def _mean_column(columns: Sequence[Floats]) -> Floats:
    """Mean of the columns that are defined; NaN where none is."""
    defined = [c for c in columns if not np.isnan(c).any()]
    return np.asarray(np.mean(defined or columns, axis=0))


def _auroc_column(positive: Any, a: Floats, b: Floats) -> Floats:
    """What each case adds to the AUROC difference of two runs, ``[cases]``; exchanging the case flips its sign.

    With K(x, y) = 1 where positive x scores above negative y (half in a tie), u the signs and u = +1 for "stay", the
    difference of the areas after an exchange is the sum over pairs (i, j) of
    ``(u_i + u_j)/2 (K(a_i, a_j) - K(b_i, b_j)) + (u_i - u_j)/2 (K(a_i, b_j) - K(b_i, a_j))``: linear in u.
    """
    column = np.zeros(len(positive))
    if positive.all() or not positive.any():
        return np.full(len(positive), np.nan)
    combinations = list(itertools.product(_rank_rows(a), _rank_rows(b)))
    p, n = int(positive.sum()), int((~positive).sum())
    for x, y in combinations:
        x_high, x_low, y_high, y_low = x[positive], x[~positive], y[positive], y[~positive]
        same = _below(x_high, x_low) - _below(y_high, y_low)
        column[positive] += same + _below(x_high, y_low) - _below(y_high, x_low)
        same = _below(y_low, y_high) - _below(x_low, x_high)  # positives above are all positives less those below
        column[~positive] += same + _below(y_low, x_high) - _below(x_low, y_high)
    return column / (2.0 * p * n * len(combinations))


def _rank_rows(predictions: Floats) -> Floats:
    """Mid-ranks of each row of ``[seeds, cases]``; NaN stays NaN."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(predictions, axis=1, nan_policy="omit"))


def _below(values: Floats, reference: Floats) -> Floats:
    """For each value the number of reference values below it, ties counting half."""
    ordered = np.sort(reference)
    return np.asarray((np.searchsorted(ordered, values) + np.searchsorted(ordered, values, side="right")) / 2.0)


def _pearson(
    metric: str, runs: Sequence[RunCases], pairs: Sequence[Pair], member: Any, cap: float
) -> tuple[Floats, Any]:
    """As `_linear`, for Pearson r: the moments of the exchanged predictions are linear in the signs."""
    label = runs[0].label
    y = label - label.mean()
    rows = [_standardised(r.prediction) for r in runs]
    starts = np.concatenate([[0], np.cumsum([len(r) for r in rows])])
    x = np.concatenate(rows)
    columns = [_by_unit(c.T, member) for c in (x * y, x, x * x)]
    combinations = [
        (k, i, j)
        for k, (a, b) in enumerate(pairs)
        for i, j in itertools.product(range(starts[a], starts[a + 1]), range(starts[b], starts[b + 1]))
    ]
    pair, first, second = (np.array(c) for c in zip(*combinations, strict=True))
    share = np.zeros((len(combinations), len(pairs)))
    share[np.arange(len(combinations)), pair] = 1.0 / np.bincount(pair)[pair]
    scale, n = float(np.sqrt((y**2).sum())), len(y)

    def evaluate(signs: Floats) -> Floats:
        change = [signs @ c for c in columns]
        kept = [c.sum(axis=0) for c in columns]
        sides = []
        for sign in (1.0, -1.0):
            xy, sx, xx = (
                (k[first] + k[second] + sign * (m[:, first] - m[:, second])) / 2
                for k, m in zip(kept, change, strict=True)
            )
            spread = xx - sx**2 / n
            sides.append(np.where(spread > TIE, xy / (scale * np.sqrt(np.maximum(spread, TIE))), 0.0))
        return np.asarray((sides[0] - sides[1]) @ share)

    if scale == 0 or n < 2:
        return np.full(len(pairs), np.nan), lambda signs: np.zeros((len(signs), len(pairs)))
    flat = [bool(np.isnan(r).any()) for r in rows]
    observed = evaluate(np.ones((1, columns[0].shape[0])))[0]
    return np.array([np.nan if flat[a] or flat[b] else o for o, (a, b) in zip(observed, pairs, strict=True)]), evaluate


def _f1(metric: str, runs: Sequence[RunCases], pairs: Sequence[Pair], member: Any, cap: float) -> tuple[Floats, Any]:
    """As `_linear`, for macro F1: hits and predicted members of every class are linear in the signs."""
    label, classes = runs[0].label, len(runs[0].parts)
    true = [int((label == k).sum()) for k in range(classes)]
    members = [[_by_unit((r.prediction == k).astype(float).T, member) for k in range(classes)] for r in runs]
    hits = [
        [_by_unit(((r.prediction == k) & (label == k)).astype(float).T, member) for k in range(classes)] for r in runs
    ]

    def scored(kept: Sequence[tuple[Floats, Floats]]) -> Floats:
        return mean_of_defined(np.stack([f1(hit, n, said) for (hit, said), n in zip(kept, true, strict=True)]))

    def difference(signs: Floats, a: int, b: int, i: int, j: int) -> Floats:
        sides = []
        for one, s, other, t in ((a, i, b, j), (b, j, a, i)):
            stay = (1 + signs) / 2
            kept = [
                (stay @ h[:, s] + (1 - stay) @ g[:, t], stay @ m[:, s] + (1 - stay) @ n[:, t])
                for h, g, m, n in zip(hits[one], hits[other], members[one], members[other], strict=True)
            ]
            sides.append(scored(kept))
        return np.asarray(sides[0] - sides[1])

    def evaluate(signs: Floats) -> Floats:
        columns = []
        for a, b in pairs:
            seeds = itertools.product(range(len(runs[a].seeds)), range(len(runs[b].seeds)))
            columns.append(np.mean([difference(signs, a, b, i, j) for i, j in seeds], axis=0))
        return np.stack(columns, axis=1)

    return evaluate(np.ones((1, int(member.max()) + 1)))[0], evaluate


def _standardised(predictions: Floats) -> Floats:
    """Each row of ``[seeds, cases]`` with mean 0 and deviation 1; a constant row, without a correlation, is NaN."""
    spread = predictions.std(axis=1, keepdims=True)
    constant = np.ptp(predictions, axis=1, keepdims=True) == 0
    return np.where(
        constant, np.nan, (predictions - predictions.mean(axis=1, keepdims=True)) / np.where(constant, 1, spread)
    )
