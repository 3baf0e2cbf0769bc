"""Tasks: what is predicted, and from which sequences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from cairn.config.base import Section
from cairn.config.bench import FrozenConfig

Kind = Literal["classification", "segmentation", "regression", "probe", "survival", "findings", "registration"]
FROZEN_KINDS = frozenset({"survival", "findings", "registration"})
"""Kinds that only heads on frozen features have."""
CLASS_NAME = r"^[a-z0-9][a-z0-9_]*$"
MOST_CLASSES = 100  # labels of a mask are bytes
NAMED = {"findings": "findings", "registration": "structures"}
"""Kinds that name one or more classes, and what these are."""
RESERVED = frozenset({"subject", "session", "value", "time", "event", "mask"})
"""Columns of a table of targets that are no finding."""


class TaskInputs(Section):
    """The target's kind and the sequences it is told from."""

    kind: Kind
    """``classification`` (0/1), ``segmentation`` (one lesion class, or several ``classes``), ``regression`` (years) or
    ``probe`` (one of ``classes``, told by a linear head from the frozen encoder's embedding; FOMO26's linear probe).
    On frozen features alone (CuriaBench): ``survival`` (a risk, against time and event), ``findings`` (each of
    ``classes`` present or not, several at once) and ``registration`` (one scan warped onto another)."""
    title: str = ""
    """Name on the leaderboard; default: the identifier in words."""
    required: tuple[str, ...] = ()
    """Sequences that a session must have."""
    any_of: tuple[tuple[str, ...], ...] = ()
    """Of each group a session must have one; the first that it has is used."""
    optional: tuple[str, ...] = ()
    """Sequences that are used where a session has them."""
    mask_sequence: str = ""
    """Segmentation: the sequence whose native grid labels and predicted masks lie on."""
    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Segmentation of one class: a voxel belongs to the lesion from this probability on."""
    classes: tuple[Annotated[str, Field(pattern=CLASS_NAME)], ...] = Field(default=(), exclude_if=lambda v: not v)
    """Segmentation: names of the labels 1, 2, … of a mask where there are several; they exclude each other, and the
    most probable wins. Default: one lesion class, whatever its label. Probe: names of the labels 0, 1, … Findings:
    their names, which are the columns of the table of targets. Registration: names of the labels 1, 2, … of its
    maps."""
    edges: tuple[float, ...] = Field(default=(), exclude_if=lambda v: not v)
    """Probe: where labels are numbers such as ages, the values at which a class ends and the next begins."""

    @property
    def sequences(self) -> tuple[str, ...]:
        """Every sequence that it names: required ones, then groups, then optional ones."""
        return (*self.required, *(name for group in self.any_of for name in group), *self.optional)

    @property
    def on_sessions(self) -> bool:
        """Whether it is told from whole sessions, so that it names their sequences; else from items, by features."""
        return True

    @model_validator(mode="after")
    def _complete(self) -> TaskInputs:
        if self.on_sessions and not self.required and not self.any_of:
            raise ValueError("a task needs a sequence: 'required' or 'any_of'")
        if any(not group for group in self.any_of):
            raise ValueError("any_of: a group is empty")
        names = self.sequences
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"sequence {', '.join(twice)} stands twice in required, any_of, optional")
        if (self.kind == "segmentation") != bool(self.mask_sequence):
            raise ValueError("mask_sequence belongs to segmentation tasks, and to all of them")
        if self.mask_sequence and self.mask_sequence not in self.required:
            raise ValueError(f"mask_sequence '{self.mask_sequence}' must be one of 'required'")
        return self

    @model_validator(mode="after")
    def _classes(self) -> TaskInputs:
        if self.classes and self.kind not in ("segmentation", "probe", *NAMED):
            raise ValueError(f"classes: a {self.kind} takes none")
        if self.kind == "probe" and not self.classes:
            raise ValueError("classes: a probe names its classes, two or more")
        if self.kind in NAMED and not self.classes:
            raise ValueError(f"classes: {self.kind} names its {NAMED[self.kind]}, one or more")
        taken = sorted(set(self.classes) & RESERVED) if self.kind == "findings" else []
        if taken:
            raise ValueError(f"classes: no finding may be called {', '.join(taken)}, a column of its own")
        alone = len(self.classes) == 1 and self.kind not in NAMED
        if alone or len(set(self.classes)) < len(self.classes) or len(self.classes) > MOST_CLASSES:
            raise ValueError(f"classes: two to {MOST_CLASSES} different names; for one lesion class leave them out")
        if self.edges and (self.kind != "probe" or len(self.edges) != len(self.classes) - 1):
            raise ValueError("edges: belong to a probe, one fewer than its classes")
        if list(self.edges) != sorted(set(self.edges)):
            raise ValueError("edges: must rise")
        return self


class TaskConfig(TaskInputs):
    """A task with its data sets."""

    enabled: bool = True
    """``false``: no run is trained or ranked on this task, and data sets that only it needs are not made."""
    finetune: str
    """Data set of the few-shot fine-tuning."""
    indomain: str = ""
    """Labelled data set from the sites of the test, for the in-domain baseline."""
    test: str
    """Data set of the test; its labels are seen by `evaluate` alone."""
    recipe: Mapping[str, Any] = {}
    """Values of `finetune` (of a probe: of `probe`) that this task overrides, for every encoder alike."""
    frozen: FrozenConfig | None = Field(default=None, exclude_if=lambda v: v is None)
    """Told by a head from frozen features of items, as in CuriaBench, instead of by fine-tuning on sessions: which
    items, which head. Sequences and masks are named there, not above."""
    validation: str = Field(default="", exclude_if=lambda v: not v)
    """With ``frozen``: data set on which a head's learning rate is chosen; default: subjects of the training set are
    held back."""
    target: str = Field(default="", exclude_if=lambda v: not v)
    """With ``frozen``: what the truth calls the answer; ``structure``: which structure an item shows."""

    @property
    def on_sessions(self) -> bool:
        """False with a section ``frozen``, and for the kinds that need one."""
        return self.frozen is None and self.kind not in FROZEN_KINDS

    @model_validator(mode="after")
    def _one_scan(self) -> TaskConfig:
        if self.kind == "probe" and self.on_sessions and len(self.sequences) != 1:
            raise ValueError(
                "required: a probe names one sequence alone, for the contract hands an entry one (--input)"
            )
        return self

    @model_validator(mode="after")
    def _frozen(self) -> TaskConfig:
        if self.frozen is None:
            if self.kind in FROZEN_KINDS:
                raise ValueError(f"kind '{self.kind}' is told from frozen features: give it a section 'frozen'")
            if self.target or self.validation:
                raise ValueError("target, validation: belong to a task with a section 'frozen'")
            return self
        if self.kind == "segmentation":
            raise ValueError("frozen: features of slices give no segmentation; leave the section out")
        if self.required or self.any_of or self.optional or self.edges or self.recipe:
            raise ValueError("frozen: items name their sequence; leave required, any_of, optional, edges, recipe out")
        if (self.kind == "registration") != (self.frozen.input == "pair"):
            raise ValueError("frozen: input 'pair' belongs to kind 'registration', and to it alone")
        if not self.target and self.kind in ("classification", "probe", "regression"):
            raise ValueError("target: what does the truth call the answer?")
        return self


class TaskSpec(TaskInputs):
    """A task as a job sees it: no data set, no recipe."""

    name: str
    """Identifier."""
