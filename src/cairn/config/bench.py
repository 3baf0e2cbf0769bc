"""Benchmark of frozen encoders: what an item is, which head reads its features, and the jobs between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from cairn.config.base import Section
from cairn.config.networks import NetworkConfig
from cairn.config.slices import Plane, SliceContract
from cairn.config.training import Device

BenchKind = Literal["classification", "probe", "regression", "survival", "findings", "registration"]
Rate = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]
CLASS_KINDS = frozenset({"probe", "findings"})
RATES = (1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 1e-1, 2e-1, 5e-1, 1.0)
RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)


CURIABENCH = "data/CuriaBench"
"""Where the published data lie unless a configuration or a command says otherwise."""

SliceAxis = Literal["smallest", "first", "last"]

PUBLISHED = "published"
"""Form, and its name, of items that come as files of their own."""


class ItemForm(Section):
    """How a session of a data set becomes items. Tasks of one form share the items and their features."""

    kind: Literal["structures", "finding", "lesion", "lesion_volume", "volume", "published"]
    """``structures``: one item a structure, the slice in which it is largest, with its mask. ``finding``: one slice,
    where the lesion of ``mask`` is largest; without one, at a height drawn from those of the sessions that have one; a
    session whose lesion no slice shows has no item.
    ``lesion``: the slice where it is largest, with its mask; sessions without it have no item. ``lesion_volume``: the
    whole volume and the mask of the lesion. ``volume``: the whole volume. ``published``: as the files of a data set of
    kind ``curiabench`` have it."""
    sequence: str = ""
    """The sequence that it is cut from; for all but ``published``."""
    mask: str = ""
    """Name of the truth's mask; for all but ``volume``, and for that with ``pairs``."""
    mask_sequence: str = ""
    """Sequence whose grid the mask lies on; default: ``sequence``. Sequences of a session lie on each other."""
    structures: tuple[str, ...] = ()
    """Names of the labels 1, 2, … of the mask, for ``structures`` and for pairs."""
    plane: Plane = "axial"
    """Plane of the slices."""
    crop: bool = True
    """Cut to the box of the session's mask, which in raw mode is the head. The published items are whole images."""
    slice_step: int = Field(default=1, ge=1)
    """Volumes: every how many slices."""
    min_pixels: int = Field(default=4, ge=1)
    """A structure or lesion with fewer pixels in its largest slice has no item."""
    pairs: int = Field(default=0, ge=0)
    """Volumes: pairs of two subjects, for registration; 0: none."""

    @model_validator(mode="after")
    def _complete(self) -> ItemForm:
        if (self.kind == "published") == bool(self.sequence):
            raise ValueError("a form needs 'sequence', the scan that it is cut from; form 'published' has none")
        if self.kind in ("finding", "lesion", "lesion_volume", "structures") and not self.mask:
            raise ValueError(f"form '{self.kind}' needs 'mask', the name of a mask of the truth")
        if self.kind == "structures" and not self.structures:
            raise ValueError("form 'structures' names its structures, the labels 1, 2, … of the mask")
        if self.pairs and (self.kind != "volume" or not self.structures):
            raise ValueError("pairs: belong to form 'volume', with 'structures', the labels 1, 2, … of their mask")
        return self


class BenchTarget(Section):
    """What one task asks of the items."""

    kind: BenchKind
    """Kind of task."""
    key: str = ""
    """Name in the session's truth; ``structure``: which structure the item shows; for survival the time is
    ``{key}time_years``, the event ``{key}event``; for findings and registration it is not used."""
    classes: tuple[str, ...] = ()
    """Probe: names of the classes. Findings: names in the truth. Registration: names of the labels 1, 2, …"""


class SweepConfig(Section):
    """Recipe of the heads, as released: SGD with momentum, cosine decay, no early stopping, last weights."""

    rates: tuple[Rate, ...] = Field(default=RATES, min_length=1)
    """Base learning rates; times batch size / 256. The one of the best validation is kept. Curia's grid is not
    published; its released values lie between 2e-4 and 2e-2, FlexiCT sweeps 1e-3 to 5."""
    epochs: int = Field(default=50, ge=1)
    """Passes over the training items (released recipes: 20 to 200)."""
    batch_size: int = Field(default=64, ge=1)
    """Items a step; all of them where there are fewer."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of SGD."""
    init_std: float = Field(default=0.01, ge=0)
    """Standard deviation of the first weights."""
    val_share: float = Field(default=0.25, gt=0, lt=1)
    """Share of the training subjects held back to choose the rate, where the data set has no validation part."""
    splits: int = Field(default=1, ge=1)
    """Random splits whose validations are averaged; with more than one, the head is fitted again on all training items.
    Ten held-back items choose badly: small sets want 5 or more."""
    standardise: bool = True
    """Centre and scale features by the training items, so that encoders of different scale meet the same rates.
    Released heads do not."""
    ridges: tuple[Rate, ...] = Field(default=RIDGES, min_length=1)
    """Survival: strengths of the ridge on the Cox model's weights; chosen like a rate."""


class RegistrationConfig(Section):
    """Registration by features: coarse correlation, coupled convex smoothing, then Adam (ConvexAdam, arXiv 2203.15784).

    Curia's own procedure is not published.
    """

    grid: tuple[int, int, int] = (16, 16, 16)
    """Points of the displacement field along slices, rows and columns."""
    components: int = Field(default=12, ge=1)
    """Principal components of the patch tokens that are compared."""
    radius: int = Field(default=2, ge=0, le=4)
    """Largest displacement of the search, in grid points."""
    couplings: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
    """Rising weights of the smooth field in the search."""
    steps: int = Field(default=40, ge=0)
    """Updates of the refinement; 0: none."""
    learning_rate: float = Field(default=0.02, gt=0)
    """Of the refinement, in half widths of the image."""
    smoothness: float = Field(default=2.0, ge=0)
    """Weight of the field's squared differences in the refinement."""


class FewShotConfig(Section):
    """Curves over the share of the training subjects."""

    shares: tuple[Share, ...] = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
    """Shares; a smaller one is part of a larger one, and those that come to the same people are fitted once.
    FlexiCT's; Curia's are not published."""
    draws: int = Field(default=3, ge=1)
    """Subsets drawn of each share."""
    rate: Rate = 0.1
    """Base learning rate where a subset is too small to hold subjects back (survival: the ridge is 1)."""


class FrozenConfig(Section):
    """A task on frozen features."""

    items: ItemForm
    """Items of the test set, and of the training set unless ``train_items`` says otherwise."""
    train_items: ItemForm | None = None
    """Items of the training set, for instance of another modality."""
    input: Literal["slice", "mask", "window", "volume", "pair"] = "slice"
    """``slice``: class token. ``mask``: mean of the patch tokens that the mask covers. ``window``: slices around the
    centre of the mask, or of the volume. ``volume``: all slices. ``pair``: dense tokens of two volumes."""
    head: Literal["linear", "attention", "mean"] = "linear"
    """``linear``; ``attention``: self-attention, then cross-attention with one query, then linear; ``mean``: over
    slices, then linear."""
    window_slices: int = Field(default=3, ge=1)
    """Slices of a window."""
    tokens: Literal["patches", "class"] = "patches"
    """What the attention reads of each slice (released: patch tokens, no class token)."""
    sweep: SweepConfig = SweepConfig()
    """Recipe of the head."""
    registration: RegistrationConfig = RegistrationConfig()
    """Recipe of the registration."""
    few_shot: FewShotConfig | None = None
    """Curve over shares of the training set; none: no curve."""

    @model_validator(mode="after")
    def _fits(self) -> FrozenConfig:
        allowed = {
            "slice": ("linear",), "mask": ("linear", "mean"), "window": ("attention", "mean"),
            "volume": ("mean", "attention"), "pair": ("linear",),
        }[self.input]  # fmt: skip
        if self.head not in allowed:
            raise ValueError(f"input '{self.input}' goes with head {' or '.join(allowed)}, not '{self.head}'")
        for form in (self.items, self.train_items or self.items):
            if form.kind == "published":
                continue
            flat = form.kind in ("structures", "finding", "lesion")
            if flat != (self.input == "slice" or (self.input == "mask" and self.head == "linear")):
                raise ValueError(
                    f"input '{self.input}' with head '{self.head}' cannot read items of form '{form.kind}'"
                )
            if self.input == "mask" and form.kind in ("finding", "volume"):
                raise ValueError(f"input 'mask': items of form '{form.kind}' have no mask")
            if (self.input == "pair") and not form.pairs:
                raise ValueError("input 'pair': the items need 'pairs'")
        return self


class BenchTask(BenchTarget):
    """A task as a head's job sees it."""

    name: str
    """Identifier."""
    frozen: FrozenConfig
    """Input and head."""

    @model_validator(mode="after")
    def _classes(self) -> BenchTask:
        if self.kind in CLASS_KINDS and (not self.classes or len(set(self.classes)) < len(self.classes)):
            raise ValueError(f"a task of kind '{self.kind}' names its classes, each once")
        if (self.kind == "registration") != (self.frozen.input == "pair"):
            raise ValueError("input 'pair' belongs to kind 'registration', and to it alone")
        if self.kind == "survival" and self.frozen.head == "attention":
            raise ValueError("survival: its Cox model is linear; take head 'mean' or 'linear'")
        return self

    @property
    def outputs(self) -> int:
        """Logits of the head."""
        return {"classification": 2, "probe": len(self.classes), "findings": len(self.classes)}.get(self.kind, 1)


class ItemsJob(Section):
    """Items of a data set in one form."""

    dataset: str
    """The data set."""
    form: ItemForm
    """How sessions become items."""
    seed: int = 0
    """Decides heights of negatives, numbers of items and pairs."""


class TargetsJob(Section):
    """Targets of one task, read off the truth of items."""

    task: BenchTarget
    """What is asked."""
    form: ItemForm
    """Form of the items."""


class PublishedSet(Section):
    """A split of one configuration of CuriaBench, as published: ``{config}/{split}-*.parquet``."""

    config: str
    """Name of the configuration, such as ``ich``."""
    split: Literal["train", "val", "test"]
    """The split."""
    classes: tuple[str, ...] = ()
    """Names of the targets 0, 1, …, or of the findings of a list; a task takes those that it names, and leaves items of
    other classes out. Default: targets stay numbers."""
    slice_axis: SliceAxis = "smallest"
    """Axis of the slices in images with three axes, and in their masks; items have it first. ``smallest``: the one with
    fewest places, the first of equal ones, as Curia's processor in use takes it (curia_image_processor.py); an older
    one took the ``last``."""
    subject: str = "series_id"
    """Column that tells people apart: splits and intervals go by it."""
    columns: Mapping[str, str] = {}
    """What the truth calls further columns: ``{time: time_years, event: event}`` for survival. The published layout
    does not say."""


class ImportItemsJob(Section):
    """Items of a data set in CuriaBench's published layout."""

    dataset: str
    """The data set."""
    published: PublishedSet
    """Which files, and what their columns mean."""


class EmbedJob(Section):
    """Features of one encoder on one set of items."""

    run: str
    """The run."""
    network: NetworkConfig
    """The encoder's network: of slices, or of volumes, whose features are then read slice by slice."""
    contract: SliceContract = SliceContract()
    """Input contract; its version stands in the features."""
    planes: Mapping[str, Plane] = {}
    """Networks of volumes: plane of the items' stacks of each form; default: axial."""
    patch_px: int = Field(default=16, ge=1)
    """Networks of volumes: side of a patch, in pixels of the input."""
    seed: int = 0
    """Seed of the encoder."""
    device: Device = "auto"
    """Where it runs."""


class HeadJob(Section):
    """One head on one encoder's features; also what predicts with it."""

    run: str
    """The run."""
    task: BenchTask
    """The task."""
    seed: int = 0
    """Decides start, order and split."""


class CuriaTask(Section):
    """One of CuriaBench's 19 tasks.

    Marks: ``S`` sourced from the project, ``3P`` from others' code, ``I`` inferred, ``NF`` not found.
    """

    number: int = Field(ge=1, le=19)
    """Place in the list."""
    title: str
    """Name."""
    group: Literal["anatomy", "age", "registration", "oncology", "musculoskeletal", "emergency", "infectious", "neuro"]
    """Group of the paper."""
    configs: tuple[str, ...] = ()
    """Names of the published configurations; none: not published as one."""
    reuses: tuple[str, ...] = ()
    """Configurations of other tasks that it is made from: trained on the first, tested on the second."""
    source: str
    """Public data set."""
    modality: Literal["CT", "MRI", "CT+MRI"]
    """Modality."""
    anatomy: str
    """Region."""
    input: tuple[Literal["2d", "3d", "mask", "pair"], ...]
    """What an item holds."""
    kind: BenchKind
    """Kind of task here."""
    classes: int | None = None
    """Number of classes, where it is known."""
    metric: str
    """Metric."""
    tracks: tuple[Literal["curia_2d", "curia_3d"], ...]
    """Tracks that it stands in; the task list of each track is not published."""
    get: str
    """How to get the data."""
    marks: Mapping[str, Literal["S", "3P", "I", "NF"]] = {}
    """What is not sourced, by field."""
    note: str = ""
    """What to know."""


class CuriaRegistry(Section):
    """The list of tasks."""

    source: str
    """Where the list comes from."""
    tasks: Mapping[str, CuriaTask]
    """By identifier."""

    @model_validator(mode="after")
    def _all(self) -> CuriaRegistry:
        if sorted(t.number for t in self.tasks.values()) != list(range(1, 20)):
            raise ValueError("tasks: each of the numbers 1 to 19 once")
        return self
