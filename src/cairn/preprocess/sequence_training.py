"""Fitting the sequence model on made heads, and judging it on heads and scanners that it never met."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cairn.cohort.draws import stream
from cairn.config.cohort import CohortConfig
from cairn.errors import CairnError
from cairn.preprocess.sequence_features import features
from cairn.preprocess.sequence_heads import (
    Example,
    counter_examples,
    drawn_site,
    drawn_visit,
    perturbed,
    scans_of,
    stripped,
)
from cairn.preprocess.sequence_model import OTHER, Floats, SequenceModel, logits, softmax

if TYPE_CHECKING:
    from cairn.cohort.anatomy import LoadedDonor

HIDDEN, DECAY, ROUNDS = 32, 1.0, 300  # units, weight decay (scikit-learn's alpha), iterations of L-BFGS
OTHERS_EVERY = 3  # of the scans, how many lend themselves to counter-examples: they are easy, and few suffice
COARSEN = 1.0
BELIEVED = 99.0  # percentile of the distances of unseen donors' scans that lie within reach
SPREAD_MIN = 1e-3


@dataclass
class Table:
    """Features of scans ``[N, F]``, with what each is, of whom, where it was taken, and in which form."""

    features: Floats
    sequence: list[str]
    donor: list[str]
    site: list[str]
    form: list[str]


class _Rows:
    def __init__(self) -> None:
        self.rows: list[tuple[Floats, str, str, str, str]] = []

    def add(self, example: Example, donor: str, site: str, form: str) -> None:
        found = features(example.data, example.affine)
        if found is not None:
            self.rows.append((found, example.sequence, donor, site, form))

    def table(self) -> Table:
        data, *words = zip(*self.rows, strict=True)
        return Table(np.stack(data), *(list(w) for w in words))


def training_table(donors: Iterable[Path], seed: int, heads: int, voxel_mm: float) -> Table:
    """Scans to learn from: of each donor ``heads`` subjects, each under a drawn scanner, whole and stripped."""
    rows = _Rows()
    for donor in _loaded(donors):
        for number in range(heads):
            site = drawn_site(seed, donor.name, number)
            visit = drawn_visit(seed, donor.name, number, f"drawn-{donor.name}-{number}")
            rng = stream(seed, "sequence-perturb", donor.name, number)
            for k, scan in enumerate(scans_of(donor, visit, site, voxel_mm, COARSEN)):
                rows.add(perturbed(scan, rng), donor.name, "drawn", "whole")
                rows.add(stripped(perturbed(scan, rng)), donor.name, "drawn", "stripped")
                if (k + number) % OTHERS_EVERY == 0:
                    for other in counter_examples(scan, rng):
                        rows.add(other, donor.name, "drawn", "other")
    return rows.table()


def held_out_table(donors: Iterable[Path], config: CohortConfig, seed: int, heads: int, voxel_mm: float) -> Table:
    """Scans to judge by: donors of the test group at every site of the cohort, as they are, stripped and perturbed."""
    rows = _Rows()
    for donor in _loaded(donors):
        for place, (name, site) in enumerate(sorted(config.sites.items())):
            for number in range(heads):
                visit = drawn_visit(seed + 1, donor.name, place * heads + number, name)
                rng = stream(seed, "sequence-judge", donor.name, name, number)
                for scan in scans_of(donor, visit, site, voxel_mm, max(1.0, config.coarsen)):
                    rows.add(scan, donor.name, name, "whole")
                    rows.add(perturbed(scan, rng), donor.name, name, "whole, perturbed")
                    rows.add(stripped(scan), donor.name, name, "stripped")
                    rows.add(stripped(perturbed(scan, rng)), donor.name, name, "stripped, perturbed")
    return rows.table()


def _loaded(donors: Iterable[Path]) -> Iterator[LoadedDonor]:
    import torch

    from cairn.cohort.anatomy import LoadedDonor
    from cairn.cohort.donor import load_donor

    torch.set_num_threads(1)
    for path in sorted(donors):
        yield LoadedDonor(load_donor(path))


def fit(table: Table, seed: int) -> SequenceModel:
    """Fit the model: a network blind to each donor in turn, the temperature and the reach from what each is blind to.

    Raises:
        CairnError: code ``config`` with fewer than two donors.
    """
    donor, sequence = np.array(table.donor), np.array(table.sequence)
    if len(set(table.donor)) < 2:
        raise CairnError(
            "A sequence model needs two donor heads or more, to be blind to one at a time.",
            "Name more donors in cohort.donor_groups.", "config",
        )  # fmt: skip
    classes = tuple(sorted(set(table.sequence)))
    truth = np.array([classes.index(s) for s in table.sequence])
    blank = SequenceModel(
        classes, table.features.mean(0), np.maximum(table.features.std(0), SPREAD_MIN), (), 1.0,
        np.zeros((len(classes), table.features.shape[1])), np.eye(table.features.shape[1]), 1.0,
    )  # fmt: skip
    x, known = blank.scaled(table.features), sequence != OTHER
    networks = _Networks(x, sequence, donor, classes, seed)
    members = [networks.blind_to(name) for name in networks.donors]
    far = np.zeros(len(x))
    for name in networks.donors:
        out = donor == name
        far[out] = _nearest(x[out], *_gaussians(x[~out], truth[~out], classes), classes)
    means, whiten = _gaussians(x, truth, classes)
    return SequenceModel(
        classes, blank.centre, blank.scale, tuple(members), _temperature(networks, truth), means, whiten,
        float(np.percentile(far[known], BELIEVED)),
    )  # fmt: skip


@dataclass(frozen=True)
class _Networks:
    """Networks that are blind to one donor or two."""

    x: Floats
    sequence: Any
    donor: Any
    classes: tuple[str, ...]
    seed: int

    @property
    def donors(self) -> list[str]:
        return sorted(set(self.donor))

    def blind_to(self, *names: str) -> dict[str, Floats]:
        """A network that has seen all donors but these."""
        seen = ~np.isin(self.donor, names)
        number = sum(2 ** self.donors.index(name) for name in names)
        return _network(self.x[seen], self.sequence[seen], self.classes, self.seed + number)

    def unseen_votes(self) -> list[tuple[Any, list[Floats]]]:
        """For each donor, its rows and the logits of a jury that never met it: of networks that are blind to it and to
        one more, as the model's own are blind to one each. With two donors a jury is one network.
        """
        juries = {}
        pairs = {frozenset(p): self.blind_to(*p) for p in combinations(self.donors, 2)} if len(self.donors) > 2 else {}
        for name in self.donors:
            jury = [member for pair, member in pairs.items() if name in pair] or [self.blind_to(name)]
            rows = self.donor == name
            juries[name] = (rows, [logits(member, self.x[rows]) for member in jury])
        return list(juries.values())


def _network(x: Floats, sequence: Any, classes: Sequence[str], seed: int) -> dict[str, Floats]:
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    network = MLPClassifier((HIDDEN,), solver="lbfgs", alpha=DECAY, max_iter=ROUNDS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is stopped early, by count
        network.fit(x, sequence)
    if tuple(network.classes_) != tuple(classes):
        raise CairnError(
            "A donor alone has a sequence that the others lack.", "Raise preprocess.unknown_sequences.heads.", "config"
        )
    hidden, out = network.coefs_
    return {"hidden": hidden, "hidden_bias": network.intercepts_[0], "out": out, "out_bias": network.intercepts_[1]}


def _gaussians(x: Floats, truth: Any, classes: Sequence[str]) -> tuple[Floats, Floats]:
    """Class means, and what whitens their common covariance (shrunk: Ledoit and Wolf 2004)."""
    from sklearn.covariance import LedoitWolf

    means = np.stack([x[truth == c].mean(0) for c in range(len(classes))])
    real = np.array([name != OTHER for name in classes])[truth]
    spread = LedoitWolf(assume_centered=True).fit((x - means[truth])[real])
    return means, np.linalg.cholesky(spread.precision_)


def _nearest(x: Floats, means: Floats, whiten: Floats, classes: Sequence[str]) -> Floats:
    known = [i for i, name in enumerate(classes) if name != OTHER]
    return np.asarray(np.min([np.linalg.norm((x - means[i]) @ whiten, axis=1) for i in known], axis=0))


def _temperature(networks: _Networks, truth: Any) -> float:
    """The temperature at which juries are as sure as they are right, over donors that they never met."""
    from scipy.optimize import minimize_scalar

    votes = networks.unseen_votes()

    def loss(log_t: float) -> float:
        total = 0.0
        for rows, jury in votes:
            chance = np.mean([softmax(one / np.exp(log_t)) for one in jury], axis=0)
            total -= float(np.log(np.maximum(chance[np.arange(len(chance)), truth[rows]], 1e-12)).sum())
        return total / len(truth)

    return float(np.exp(minimize_scalar(loss, bounds=(-2.5, 2.5), method="bounded").x))
