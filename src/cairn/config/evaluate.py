"""Evaluation, leaderboard and report: which numbers count, and how sure of them one may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from cairn.config.base import Section
from cairn.config.runs import Run
from cairn.config.tasks import Kind
from cairn.config.tracks import TrackConfig, tasks_of

MetricName = Literal[
    "auroc", "auroc_ovr", "f1_macro", "accuracy", "dice", "nsd", "mae", "pearson_r", "r2", "concordance", "auroc_mean",
]  # fmt: skip
USED_BY_KIND: Mapping[str, frozenset[str]] = {
    "classification": frozenset(),
    "segmentation": frozenset({"nsd_tolerance_mm", "dice_both_empty", "nsd_both_empty"}),
    "regression": frozenset({"max_age_years", "worst_error_years"}),
    "probe": frozenset(),
    "survival": frozenset(),
    "findings": frozenset(),
    "registration": frozenset(),
}
SUITS: Mapping[str, tuple[MetricName, ...]] = {
    "classification": ("auroc",),
    "segmentation": ("dice", "nsd"),
    "regression": ("mae", "pearson_r", "r2"),
    "probe": ("auroc_ovr", "f1_macro", "accuracy"),
    "survival": ("concordance",),
    "findings": ("auroc_mean",),
    "registration": ("dice",),
}


class Metric(Section):
    """A metric of a task: its direction, and the precision at which two runs are equal."""

    name: MetricName
    """``auroc``, ``dice``, ``nsd``, ``mae`` (years), ``pearson_r``, ``r2``; of a probe ``auroc_ovr`` (each class
    against the rest, mean), ``f1_macro`` and ``accuracy``; of survival ``concordance`` (Harrell); of findings
    ``auroc_mean`` (their mean)."""
    title: str
    """Name on the leaderboard."""
    unit: str = ""
    """Unit of its values, for the heading."""
    higher_is_better: bool = True
    """Direction."""
    worst: float = 0.0
    """The worst value there is; an undefined value ranks as this."""
    decimals: int = Field(default=3, ge=0, le=6)
    """Printed decimals; runs that print alike share a rank."""


DEFAULT_METRICS: Mapping[Kind, tuple[Metric, ...]] = {
    "classification": (Metric(name="auroc", title="AUROC"),),
    "segmentation": (Metric(name="dice", title="Dice"), Metric(name="nsd", title="NSD")),
    "regression": (
        Metric(name="mae", title="MAE", unit="years", higher_is_better=False, worst=100.0),
        Metric(name="pearson_r", title="Pearson r", worst=-1.0),
    ),
    "probe": (Metric(name="auroc_ovr", title="AUROC (OvR)"), Metric(name="f1_macro", title="F1 (macro)")),
}
FROZEN_METRICS: Mapping[Kind, tuple[Metric, ...]] = {
    "survival": (Metric(name="concordance", title="Concordance"),),
    "findings": (Metric(name="auroc_mean", title="AUROC (mean)"),),
    "registration": (Metric(name="dice", title="Dice after warp"),),
}
"""Of kinds that exist on frozen features alone; they stand in no configuration that names none of them."""
MORE_METRICS: tuple[Metric, ...] = (Metric(name="accuracy", title="Accuracy"), Metric(name="r2", title="R²"))
"""Metrics that no kind takes unless it is told to."""


class FairnessConfig(Section):
    """Fairness over age and sex of the test sets (FOMO26's bias task); ranks nothing."""

    enabled: bool = False
    """Score every run by age band and sex."""
    age_edges_years: tuple[float, ...] = Field(default=(40.0, 60.0), min_length=1)
    """Ages at which a band ends and the next begins."""
    min_cases: int = Field(default=10, ge=1)
    """A group with fewer test sessions is reported and left out: its value would be chance."""

    @field_validator("age_edges_years")
    @classmethod
    def _rise(cls, edges: tuple[float, ...]) -> tuple[float, ...]:
        if list(edges) != sorted(set(edges)):
            raise ValueError("must rise")
        return edges


class EvaluateConfig(Section):
    """Metrics, intervals, tests and ranks."""

    metrics: Mapping[Kind, tuple[Metric, ...]] = DEFAULT_METRICS
    """Metrics of each kind of task; the first is the one that claims rest on. A kind not named keeps its own
    (``survival``: concordance; ``findings``: mean AUROC; ``registration``: Dice)."""
    nsd_tolerance_mm: float = Field(default=1.0, ge=0)
    """Surfaces closer than this count as equal. FOMO26 takes 1.0 mm; FOMO25's value is not published."""
    dice_both_empty: float = Field(default=1.0, ge=0, le=1)
    """Dice where neither truth nor prediction holds a lesion."""
    nsd_both_empty: float = Field(default=1.0, ge=0, le=1)
    """NSD where neither truth nor prediction holds a lesion. FOMO26 sets 0, unlike its Dice."""
    worst_error_years: float = Field(default=100.0, gt=0)
    """Absolute error of an invalid age, and the largest error that counts (FOMO26)."""
    max_age_years: float = Field(default=130.0, gt=0)
    """A predicted age below 0 or above this is invalid."""
    resamples: int = Field(default=10_000, ge=0)
    """Bootstrap resamples of the test cases; the same ones for every run. 0: no intervals."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Coverage of the intervals: of ranks, percentiles of the resamples; of scores, corrected for small test sets."""
    permutations: int = Field(default=100_000, ge=0)
    """Sign flips of each paired test between two runs. 0: no tests."""
    significance: float = Field(default=0.05, gt=0, lt=1)
    """A Holm-corrected p-value below this counts as a difference."""
    fairness: FairnessConfig = FairnessConfig()
    """Groups of the test set, compared."""

    @field_validator("metrics", mode="before")
    @classmethod
    def _all_kinds(cls, given: Any) -> Any:
        return {**DEFAULT_METRICS, **given} if isinstance(given, Mapping) else given

    def of_kind(self, kind: Kind) -> tuple[Metric, ...]:
        """Metrics of a kind of task."""
        return self.metrics[kind] if kind in self.metrics else FROZEN_METRICS[kind]

    def for_kind(self, kind: Kind) -> dict[str, Any]:
        """What scoring the cases of one kind of task uses, as plain data: the rest touches no score."""
        uses = {"resamples", "confidence", *USED_BY_KIND[kind], *(["fairness"] if self.fairness.enabled else [])}
        metrics = {kind: [{"name": m.name, "title": m.name} for m in self.of_kind(kind)]}
        return {**self.model_dump(mode="json", include=uses), "metrics": metrics}

    @model_validator(mode="after")
    def _suits(self) -> EvaluateConfig:
        for kind, metrics in self.metrics.items():
            names, known = [m.name for m in metrics], SUITS[kind]
            if not names or len(set(names)) < len(names) or not set(names) <= set(known):
                raise ValueError(f"metrics.{kind}: takes one or more of {', '.join(known)}, each once")
        return self


class TaskRef(Section):
    """What evaluation needs to know of a task; the rest of its section belongs to other stages."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    name: str
    """Identifier of the task."""
    kind: Kind
    """Kind of target."""
    title: str = ""
    """Name on the leaderboard; default: the identifier in words."""
    classes: tuple[str, ...] = ()
    """Names of the classes, where there are several."""
    edges: tuple[float, ...] = ()
    """Where classes of a number end."""
    frozen: Mapping[str, Any] | None = None
    """How a head reads frozen features, of a task that is told from them (`cairn.config.bench`); for the page."""

    @property
    def heading(self) -> str:
        """The title, or the name in words."""
        return self.title or self.name.replace("_", " ").capitalize()


class Tracked(Section):
    """What runs, tasks and tracks have to do with each other."""

    runs: tuple[Run, ...] = ()
    """The runs table."""
    tasks: Mapping[str, TaskRef] = {}
    """Tasks by name, in the order of the columns."""
    tracks: Mapping[str, TrackConfig] = {}
    """Tracks by name; one that is not here takes all tasks."""

    def tasks_of(self, track: str) -> list[str]:
        """Tasks of a track, in the order of the columns."""
        return tasks_of(self.tracks, track, self.tasks)

    @property
    def track_names(self) -> list[str]:
        """Tracks in the order of their first run, then those without a run."""
        return list(dict.fromkeys([*(run.track for run in self.runs), *self.tracks]))


class EvaluateJob(Section):
    """Configuration of the job that scores one run on one task."""

    run: str
    """The run."""
    track: str = "method"
    """Its track."""
    task: TaskRef
    """The task."""
    seeds: tuple[int, ...] = Field(min_length=1)
    """Seeds, in the order of the prediction tables."""
    cohort: str = "test"
    """Name of the test set."""
    seed: int = 2026
    """Seed of the resampling, the same for all runs."""
    evaluate: EvaluateConfig = EvaluateConfig()
    """How to evaluate."""


class LeaderboardJob(Tracked):
    """Configuration of the job that ranks all runs."""

    experiment: str = ""
    """Name of the experiment."""
    seed: int = 2026
    """Seed of the resampling."""
    runs: tuple[Run, ...] = Field(min_length=1)
    """The runs table."""
    tasks: Mapping[str, TaskRef] = Field(min_length=1)
    """Tasks by name, in the order of the columns."""
    evaluate: EvaluateConfig = EvaluateConfig()
    """How to evaluate."""


class ReportJob(Tracked):
    """Configuration of the page."""

    experiment: str = ""
    """Name of the experiment."""
    datasets: Mapping[str, Mapping[str, Any]] = {}
    """Sections of the data sets, as configured."""
    seed: int = 2026
    """Seed of the resampling, that of the leaderboard."""
    seeds: tuple[int, ...] = ()
    """Repetitions."""
    spacing_mm: float | tuple[float, ...] | None = None
    """Voxel size of the preprocessed scans."""
    note: str = ""
    """What this experiment can and cannot show, and which configuration shows more."""
