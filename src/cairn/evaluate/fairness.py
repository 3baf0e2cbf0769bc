"""Fairness over age and sex: how far a metric differs between groups of the test set (FOMO26's bias task).

Per variable v the gap is D_v, the largest less the smallest value over the groups of v; the score is the mean of
1 - D_v over the variables. A group with too few cases, or in which the metric is undefined, is reported and left out; a
variable with fewer than two groups left has no gap. The gap of several noisy groups is above 0 even where a method is
fair, so that it is to be read with its interval and against other runs of the same test set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cairn.config.evaluate import FairnessConfig
from cairn.errors import CairnError
from cairn.evaluate.cases import Key
from cairn.evaluate.resampling import metric_values
from cairn.evaluate.tables import RunCases
from cairn.io.tables import PEOPLE_COLUMNS, read_table

Floats = npt.NDArray[np.float64]
UNKNOWN = "unknown"
UNIT = ("auroc", "auroc_ovr", "f1_macro", "accuracy", "dice", "nsd", "concordance", "auroc_mean")
"""Metrics from 0 to 1, of which 1 - D_v is a score; of the others the gaps alone are reported."""


def read_people(path: Path, keys: Sequence[Key]) -> dict[str, list[str]]:
    """Group labels of each case by variable: ``sex`` as it stands, ``age`` in years as text.

    Raises:
        CairnError: when the table is missing, or lacks a case.
    """
    rows = {(r["subject"], r["session"]): r for r in read_table(path, PEOPLE_COLUMNS)}
    lacking = [key for key in keys if key not in rows]
    if lacking:
        who = f"subject {lacking[0][0]}, session {lacking[0][1]}"
        raise CairnError(f"{path}: lacks {who} ({len(lacking)} in all).", "Run the rule 'people' again.", "people")
    return {name: [rows[key][name] for key in keys] for name in ("age", "sex")}


def age_band(text: str, edges: Sequence[float]) -> str:
    """The band of an age: ``under_40``, ``40_to_60``, ``60_and_over``; ``unknown`` where it is no number."""
    try:
        age = float(text)
    except ValueError:
        return UNKNOWN
    if not np.isfinite(age):
        return UNKNOWN
    between = [f"{a:g}_to_{b:g}" for a, b in pairwise(edges)]
    names = [f"under_{edges[0]:g}", *between, f"{edges[-1]:g}_and_over"]
    return names[int(np.searchsorted(edges, age, side="right"))]


def groups_of(
    people: Mapping[str, Sequence[str]], config: FairnessConfig
) -> dict[str, dict[str, npt.NDArray[np.intp]]]:
    """Positions of the cases of each group, by variable and group; bands of age in their order, unknown last."""
    bands = [age_band(a, config.age_edges_years) for a in people["age"]]
    order = [age_band(str(e), config.age_edges_years) for e in (-1, *config.age_edges_years)]
    sexes = [s if s in ("F", "M") else UNKNOWN for s in people["sex"]]
    found: dict[str, dict[str, npt.NDArray[np.intp]]] = {}
    for variable, values, names in (("age", bands, order), ("sex", sexes, ["F", "M"])):
        present = [n for n in [*names, UNKNOWN] if n in values]
        found[variable] = {n: np.flatnonzero(np.array(values) == n) for n in present}
    return found


def group_values(
    metric: str, cases: RunCases, counts: npt.NDArray[np.int64], members: npt.NDArray[np.intp], cap: float
) -> Floats:
    """The metric of a group, every seed and resample: ``[seeds, R]``; NaN where undefined, or no member is drawn."""
    part = replace(
        cases, keys=tuple(cases.keys[i] for i in members), label=cases.label[members],
        prediction=cases.prediction[:, members], dice=cases.dice[:, members], nsd=cases.nsd[:, members],
        status=tuple(tuple(row[i] for i in members) for row in cases.status),
        parts={name: column[:, members] for name, column in cases.parts.items()},
    )  # fmt: skip
    drawn = counts[:, members]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(drawn.sum(axis=1) > 0, metric_values(metric, part, drawn, cap), np.nan)


def fairness(
    metric: str, cases: RunCases, counts: npt.NDArray[np.int64], people: Mapping[str, Sequence[str]],
    config: FairnessConfig, cap: float,
) -> list[tuple[str, int, Floats, Floats]]:  # fmt: skip
    """Group values, gaps and the score of one metric.

    Args:
        metric: a metric of the task.
        cases: the run's cases.
        counts: resamples ``[R, cases]``.
        people: `read_people` of the cases.
        config: bands and least cases.
        cap: largest absolute error that counts.

    Returns:
        Name, cases, values ``[seeds]`` and resampled values ``[seeds, R]`` of: ``sex=F`` and its like (NaN where left
        out), ``gap:sex`` and its like, ``fairness``.
    """
    once = np.ones((1, len(cases.keys)), np.int64)
    rows: list[tuple[str, int, Floats, Floats]] = []
    gaps: list[tuple[Floats, Floats]] = []
    for variable, members in groups_of(people, config).items():
        kept: list[tuple[Floats, Floats]] = []
        used = 0
        for group, index in members.items():
            value = group_values(metric, cases, once, index, cap)[:, 0]
            spread = group_values(metric, cases, counts, index, cap)
            if len(index) < config.min_cases or group == UNKNOWN:
                value, spread = np.full_like(value, np.nan), np.full_like(spread, np.nan)
            if not np.isnan(value).any():
                kept.append((value, spread))
                used += len(index)
            rows.append((f"{variable}={group}", len(index), value, spread))
        if len(kept) > 1:
            gap = (np.ptp(np.stack([v for v, _ in kept]), axis=0), np.ptp(np.stack([s for _, s in kept]), axis=0))
        else:
            gap = (np.full(len(cases.seeds), np.nan), np.full((len(cases.seeds), len(counts)), np.nan))
        rows.append((f"gap:{variable}", used, *gap))
        if len(kept) > 1:
            gaps.append(gap)
    if metric in UNIT:
        nothing = (np.full(len(cases.seeds), np.nan), np.full((len(cases.seeds), len(counts)), np.nan))
        score = [np.mean([1 - gap[i] for gap in gaps], axis=0) if gaps else nothing[i] for i in (0, 1)]
        rows.append(("fairness", len(cases.keys), score[0], score[1]))
    return rows
