"""How often intervals cover the truth, in made-up worlds whose truth is known.

``python tests/unit/evaluate/populations.py`` prints the tables of docs/benchmarks/statistics.md (an hour);
``--sizes 20 107 --worlds Dice MAE`` some of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from scipy import stats
from scipy.integrate import quad
from scipy.special import ndtr

from cairn.evaluate.intervals import percentile_interval, score_interval
from cairn.evaluate.resampling import metric_values, resample_counts
from cairn.evaluate.tables import RunCases

SIZES = (20, 107, 320, 800)
SHARE = 13 / 21  # positives of FOMO25's infarct task
CAP = 100.0  # largest absolute error that counts, years
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


def in_quarters(shares: tuple[float, ...] = (0.4, 0.15, 0.2, 0.15, 0.1)) -> World:
    """Dice of small lesions: 0, 1/4, 1/2, 3/4 or 1, so that ties abound."""
    levels = np.linspace(0, 1, len(shares))
    truth = float(levels @ np.array(shares))
    return World(
        f"Dice {truth:.2f}, in quarters", "dice", truth,
        lambda rng, n: (np.full(n, np.nan), rng.choice(levels, n, p=shares)),
    )  # fmt: skip


ERRORS = {
    "normal": lambda sd: stats.norm(0, sd),
    "laplace": lambda sd: stats.laplace(0, sd / np.sqrt(2)),
    "Student's t, 3 degrees": lambda scale: stats.t(3, 0, scale),
    "lognormal": lambda median: stats.lognorm(1.0, 0, median),  # of the absolute error itself
}


def ages(size: float, kind: str) -> World:
    """Absolute errors of ages around 55, years; ``size`` is the deviation, scale or median of `ERRORS`."""
    error = ERRORS[kind](size)

    def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        label = rng.uniform(20, 90, n)
        return label, label + error.rvs(n, random_state=rng)

    truth, _ = quad(lambda x: error.sf(x) + error.cdf(-x), 0, CAP, limit=200)
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
    overlaps(0.3, 2, 2), overlaps(0.7, 2, 3), overlaps(0.85, 2, 3), overlaps(0.1, 5, 2), in_quarters(),
    ages(5, "normal"), ages(15, "normal"), ages(10, "laplace"), ages(8, "Student's t, 3 degrees"),
    correlated(0.3), correlated(0.6), correlated(0.8),
    named_right(0.6), named_right(0.9), explained(0.3), explained(0.8), hazards(0.5, 0.632), hazards(1.5, 0.799),
)  # fmt: skip
BEYOND = (overlaps(0.05, 8, 2), overlaps(0.02, 15, 1.2), ages(4, "lognormal"))
"""Worlds in which what makes the mean is often not in the sample."""


def coverage(world: World, n: int, simulations: int, resamples: int) -> tuple[float, float]:
    """Share of simulated test sets of ``n`` cases whose 95 % interval holds the truth; the same of plain percentiles.

    The draws of cases are those of one experiment, as in earnest; the cases are new in every simulation.
    """
    rng = np.random.default_rng([n, crc32(world.name.encode())])
    keys = tuple((f"{i:04d}", "1") for i in range(n))
    drawn = resample_counts([s for s, _ in keys], resamples, "task", "test", 1)
    counts = np.asfortranarray(drawn, float)  # as the metrics want it, once and not in every simulation
    once, hits = np.ones((1, n), np.int64), np.zeros(2)
    for _ in range(simulations):
        label, found, *events = world.draw(rng, n)
        parts = {"event": events[0][None]} if events else {}
        cases = RunCases("test", (0,), keys, label, found[None], found[None], found[None], (), parts)
        value = float(metric_values(world.metric, cases, once, CAP)[0, 0])
        spread = metric_values(world.metric, cases, counts, CAP)[0]
        for i, (low, high) in enumerate(
            [score_interval(world.metric, value, spread, cases, 0.95, CAP), percentile_interval(spread, 0.95)]
        ):
            hits[i] += low <= world.truth <= high
    return float(hits[0] / simulations), float(hits[1] / simulations)


def seen(world: World, n: int, simulations: int) -> tuple[float, float]:
    """Of a world of overlaps: share of test sets with a missed lesion, and coverage of the others."""
    rng = np.random.default_rng([n, crc32(world.name.encode())])
    keys = tuple((f"{i:04d}", "1") for i in range(n))
    counts = np.asfortranarray(resample_counts([s for s, _ in keys], 1000, "task", "test", 1), float)
    hits, missed = [], 0
    for _ in range(simulations):
        label, found = world.draw(rng, n)
        if found.min() == 0:
            missed += 1
            continue
        cases = RunCases("test", (0,), keys, label, found[None], found[None], found[None], ())
        spread = metric_values("dice", cases, counts, CAP)[0]
        low, high = score_interval("dice", float(found.mean()), spread, cases, 0.95)
        hits.append(low <= world.truth <= high)
    return missed / simulations, float(np.mean(hits))


def main() -> None:
    """Print tables; concordance, which meets all pairs, takes long at the largest sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=4000, help="test sets a cell")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="cases of a test set")
    parser.add_argument("--worlds", nargs="+", default=[""], help="beginnings of names")
    parser.add_argument("--beyond", action="store_true", help="the worlds beyond, and the sets without a miss")
    given = parser.parse_args()
    print(f"| world | {' | '.join(f'n = {n}' for n in given.sizes)} |\n|---|{'--:|' * len(given.sizes)}")
    for world in (w for w in (BEYOND if given.beyond else WORLDS) if w.name.startswith(tuple(given.worlds))):
        cells = [coverage(world, n, given.sets, given.resamples) for n in given.sizes]
        print(f"| {world.name} | {' | '.join(f'{100 * a:.1f} ({100 * b:.1f})' for a, b in cells)} |", flush=True)
        if given.beyond and world.metric == "dice":
            parts = [
                f"{100 - 100 * m:.0f} %: {100 * c:.1f}"
                for m, c in (seen(world, n, given.sets) for n in given.sizes[:1])
            ]
            print(f"without a miss: {', '.join(parts)}", flush=True)


if __name__ == "__main__":
    main()
