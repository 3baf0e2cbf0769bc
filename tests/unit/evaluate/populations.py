"""How often intervals cover the truth, in made-up worlds whose truth is known.

``python tests/unit/evaluate/populations.py`` prints the table of docs/benchmarks/statistics.md (minutes).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from cairn.evaluate.intervals import percentile_interval, score_interval
from cairn.evaluate.resampling import metric_values, resample_counts
from cairn.evaluate.tables import RunCases

SIZES = (20, 107, 320, 800)
SHARE = 13 / 21  # positives of FOMO25's infarct task
Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, ...]]


@dataclass(frozen=True)
class World:
    """A population of test cases: a metric, its true value, and how ``n`` cases are drawn (label, prediction; of
    survival also whether the event was seen)."""

    name: str
    metric: str
    truth: float
    draw: Draw


def two_normals(apart: float) -> World:
    """Scores of positives and negatives, normal, ``apart`` standard deviations."""

    def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        label = (rng.random(n) < SHARE).astype(float)
        if label.min() == label.max():
            label[0] = 1.0 - label[0]
        return label, rng.normal(apart * label)

    truth = float(ndtr(apart / np.sqrt(2)))
    return World(f"AUROC {truth:.1f}", "auroc", truth, draw)


def overlaps(missed: float, a: float, b: float) -> World:
    """Dice: 0 in a share of cases, else from a beta distribution."""
    truth = (1 - missed) * a / (a + b)
    return World(
        f"Dice {truth:.2f}, {missed:.0%} missed", "dice", truth,
        lambda rng, n: (np.full(n, np.nan), rng.beta(a, b, n) * (rng.random(n) > missed)),
    )  # fmt: skip


def ages(sd: float, kind: str) -> World:
    """Absolute errors of ages around 55, normal or Laplace with a deviation of ``sd`` years."""

    def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        label = rng.uniform(20, 90, n)
        return label, label + (rng.normal(0, sd, n) if kind == "normal" else rng.laplace(0, sd / np.sqrt(2), n))

    truth = sd * np.sqrt(2 / np.pi) if kind == "normal" else sd / np.sqrt(2)
    return World(f"MAE {truth:.1f} years, {kind}", "mae", float(truth), draw)


def correlated(r: float) -> World:
    """Two normal variables."""

    def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        label = rng.normal(size=n)
        return 55 + 15 * label, 55 + 8 * (r * label + np.sqrt(1 - r * r) * rng.normal(size=n))

    return World(f"Pearson r {r}", "pearson_r", r, draw)


def named_right(share: float) -> World:
    """Accuracy: a share of classes is named right."""
    return World(
        f"Accuracy {share}", "accuracy", share, lambda rng, n: (np.zeros(n), (rng.random(n) > share).astype(float))
    )


def explained(r2: float) -> World:
    """R²: normal labels, an error of the share that is not explained."""

    def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        label = 55 + 15 * rng.normal(size=n)
        return label, label + 15 * np.sqrt(1 - r2) * rng.normal(size=n)

    return World(f"R² {r2}", "r2", r2, draw)


def hazards(effect: float, truth: float) -> World:
    """Survival: exponential times whose hazard rises with a normal risk, about a third censored.

    The true concordance of such times, censored independently at times drawn alike, is the mean of 100 draws of 2,000.
    """

    def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, ...]:
        risk = rng.normal(size=n)
        fails, leaves = rng.exponential(np.exp(-effect * risk)), rng.exponential(2.0, n)
        return np.minimum(fails, leaves), risk, (fails <= leaves).astype(float)

    return World(f"Concordance {truth:.2f}", "concordance", truth, draw)


WORLDS = (
    two_normals(0.358), two_normals(0.742), two_normals(1.19), two_normals(1.812),
    overlaps(0.3, 2, 2), overlaps(0.7, 2, 3), overlaps(0.85, 2, 3), overlaps(0.1, 5, 2),
    ages(5, "normal"), ages(15, "normal"), ages(10, "laplace"),
    correlated(0.3), correlated(0.6), correlated(0.8),
    named_right(0.6), named_right(0.9), explained(0.3), explained(0.8), hazards(0.5, 0.632), hazards(1.5, 0.799),
)  # fmt: skip


def coverage(world: World, n: int, simulations: int, resamples: int) -> tuple[float, float]:
    """Share of simulated test sets of ``n`` cases whose 95 % interval holds the truth; the same of plain percentiles.

    The draws of cases are those of one experiment, as in earnest; the cases are new in every simulation.
    """
    rng = np.random.default_rng([n, WORLDS.index(world)])
    keys = tuple((f"{i:04d}", "1") for i in range(n))
    drawn = resample_counts([s for s, _ in keys], resamples, "task", "test", 1)
    counts = np.asfortranarray(drawn, float)  # as the metrics want it, once and not in every simulation
    once, hits = np.ones((1, n), np.int64), np.zeros(2)
    for _ in range(simulations):
        label, found, *events = world.draw(rng, n)
        parts = {"event": events[0][None]} if events else {}
        cases = RunCases("test", (0,), keys, label, found[None], found[None], found[None], (), parts)
        value = float(metric_values(world.metric, cases, once, 100.0)[0, 0])
        spread = metric_values(world.metric, cases, counts, 100.0)[0]
        for i, (low, high) in enumerate(
            [score_interval(world.metric, value, spread, cases, 0.95), percentile_interval(spread, 0.95)]
        ):
            hits[i] += low <= world.truth <= high
    return float(hits[0] / simulations), float(hits[1] / simulations)


if __name__ == "__main__":
    # of concordance, which meets all pairs, the largest sizes take long
    print(f"| world | {' | '.join(f'n = {n}' for n in SIZES)} |\n|---|{'---|' * len(SIZES)}")
    for world in WORLDS:
        cells = [coverage(world, n, 2000, 1000) for n in SIZES]
        print(f"| {world.name} | {' | '.join(f'{100 * a:.1f} ({100 * b:.1f})' for a, b in cells)} |", flush=True)
