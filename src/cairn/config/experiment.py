"""The whole configuration of an experiment: what is studied, never where it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from cairn.config.base import Section
from cairn.config.bench import PublishedSet
from cairn.config.challenge import ChallengeConfig
from cairn.config.cohort import CohortConfig, CohortSet
from cairn.config.dicom import DicomConfig
from cairn.config.evaluate import EvaluateConfig
from cairn.config.leakage import LeakageConfig
from cairn.config.learn import FinetuneConfig, NetworkConfig, ObjectiveConfig, PretrainConfig, ProbeConfig, TaskConfig
from cairn.config.preprocess import PreprocessConfig
from cairn.config.qc import QcConfig
from cairn.config.slices import SliceContract
from cairn.config.tracks import DEFAULT_TRACKS, TrackConfig

NAME = r"^[a-z0-9][a-z0-9_]*$"


class DatasetConfig(Section):
    """One data set: a part of the embedded cohort, or a folder of real scans."""

    kind: Literal["cohort", "bids", "fomo60k", "fomo300k", "fomo_task", "manifest", "dicom", "curiabench"]
    """``cohort``: made by the workflow. ``bids``: ``sub-*/[ses-*/]anat/*.nii.gz``. ``fomo60k``:
    ``sub_*/ses_*/*.nii.gz``. ``fomo300k``: FOMO45K to 300K, ``PT*/[ds*/]sub-*/ses-*``, folders or zips.
    ``fomo_task``: a fine-tune set of FOMO25 or FOMO26, ``preprocessed/`` and ``labels/``. ``manifest``: what a
    table names. ``dicom``: DICOM files in any layout, which the target ``convert`` converts first. ``curiabench``:
    items for frozen encoders, in CuriaBench's published files. `cairn index PATH` tells which of them a folder is."""
    shards: int = Field(default=1, ge=1, le=9999)
    """Number of shards; a shard is a job. Some hundred sessions make a good shard. A change remakes all of them."""
    cohort: CohortSet | None = None
    """What to make; for kind ``cohort``."""
    root: str = ""
    """Folder of the scans, absolute or relative to the repository; for real data."""
    manifest: str = Field(default="", exclude_if=lambda v: not v)
    """Table of the scans (``.parquet``, or tab-separated): columns ``subject session sequence path``, the path relative
    to ``root``, and ``sha256 age sex site split`` where they are known; for kind ``manifest``."""
    published: PublishedSet | None = Field(default=None, exclude_if=lambda v: v is None)
    """Which of CuriaBench's files; for kind ``curiabench``."""
    dicom: DicomConfig | None = Field(default=None, exclude_if=lambda v: v is None)
    """How to convert; for kind ``dicom``."""
    labels: str = ""
    """Labels of a real data set: a table (columns ``subject session value mask mask_sequence``), or FOMO's label
    folder. Default for kind ``fomo_task``: those beside its scans."""
    identities: str = ""
    """Name space of the subject identifiers: within one, equal identifiers are one person. Default: the root folder, of
    DICOM files the secret, so that sets converted with one secret are compared."""
    known_as: tuple[str, ...] = Field(default=(), exclude_if=lambda v: not v)
    """Published collections that it is, or holds (``[fomo60k]``, ``[oasis1, oasis2]``), by their names in
    docs/reference/leakage.md: one that is known to be inside another may not be on another side of the split. Default
    of the kinds ``fomo60k`` and ``fomo300k``: what their folders ``PT*`` are called after; of a ``fomo60k`` without
    such folders that is pretrained on, ``[fomo60k]``. What stands here wins; ``[]`` is none."""
    predict: tuple[str, ...] = ()
    """Tasks to predict on this data set with every run of the experiment (target ``apply``); needs no labels."""

    @model_validator(mode="after")
    def _complete(self) -> DatasetConfig:
        if self.kind == "cohort" and self.cohort is None:
            raise ValueError("a data set of kind 'cohort' needs the section 'cohort'")
        if (self.kind == "curiabench") != (self.published is not None):
            raise ValueError("a data set of kind 'curiabench', and no other, has the section 'published'")
        if (self.kind == "dicom") != (self.dicom is not None):
            raise ValueError("a data set of kind 'dicom', and no other, has the section 'dicom' (with 'salt_file')")
        if self.kind not in ("cohort", "curiabench") and not self.root:
            raise ValueError(f"a data set of kind '{self.kind}' needs 'root', the folder of its scans")
        if (self.kind == "manifest") != bool(self.manifest):
            raise ValueError("a data set of kind 'manifest', and no other, names its table in 'manifest'")
        return self


class ExperimentConfig(Section):
    """An experiment: data sets, preprocessing, encoders, tasks, evaluation."""

    name: str = Field(pattern=NAME)
    """Name of the folder under ``results/``."""
    seed: int = 2026
    """Every random choice follows from this number."""
    seeds: int = Field(default=3, ge=1, le=99)
    """Repetitions of every pretraining and fine-tuning, with seeds 0, 1, …; a claim needs three or more."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """``auto``: the GPU where there is one."""
    runs: str
    """Path of the runs table, relative to the repository."""
    cohort: CohortConfig = CohortConfig()
    """The embedded cohort's generator."""
    datasets: Mapping[str, DatasetConfig]
    """Data sets by name."""
    leakage: LeakageConfig = LeakageConfig()
    """What may not be on two sides of the split: pretraining, fine-tuning, test."""
    preprocess: PreprocessConfig = PreprocessConfig()
    """One preprocessing for all: pretraining, fine-tuning, inference."""
    qc: QcConfig = QcConfig()
    """Thresholds of the quality flags."""
    networks: Mapping[str, NetworkConfig]
    """Networks by name."""
    objectives: Mapping[str, ObjectiveConfig]
    """Self-supervised objectives by name."""
    pretrain: PretrainConfig = PretrainConfig()
    """Budget and optimiser of the pretraining."""
    finetune: FinetuneConfig = FinetuneConfig()
    """One recipe for every encoder; a task may override single values."""
    probe: ProbeConfig = ProbeConfig()
    """One recipe for every linear probe."""
    slices: SliceContract = SliceContract()
    """What slice encoders see of a raw slice, for tasks with a section ``frozen``; version and clip are those that an
    encoder was pretrained with."""
    volume_patch_px: int = Field(default=16, ge=1)
    """Tasks with a section ``frozen``: side of the patches into which the features of a network of volumes are read, in
    pixels of the input; that of the slice encoders beside it."""
    curiabench: str = ""
    """Folder of CuriaBench's published files, ``{config}/{split}-*.parquet``, absolute or relative to the repository:
    for the list of its tasks on the page, and for data sets of kind ``curiabench``."""
    tasks: Mapping[str, TaskConfig]
    """Tasks by name."""
    evaluate: EvaluateConfig = EvaluateConfig()
    """Metrics, intervals, ranks."""
    tracks: Mapping[str, TrackConfig] = DEFAULT_TRACKS
    """Tracks by name; every run competes in one. What its models rest on is read from their cards."""
    challenge: ChallengeConfig = ChallengeConfig()
    """How runs of method ``container`` are run."""
    note: str = ""
    """A sentence for the report: what this experiment can and cannot show, and which configuration shows more."""

    @model_validator(mode="after")
    def _names(self) -> ExperimentConfig:
        import re

        for section in ("datasets", "networks", "objectives", "tasks", "tracks"):
            for name in getattr(self, section):
                if not re.match(NAME, name):
                    raise ValueError(f"{section}: name '{name}' must be lower-case letters, digits and '_'")
        for name, task in self.tasks.items():
            for role in ("finetune", "indomain", "test"):
                if getattr(task, role) and getattr(task, role) not in self.datasets:
                    known = ", ".join(sorted(self.datasets))
                    raise ValueError(f"tasks.{name}.{role}: no data set '{getattr(task, role)}' (there are: {known})")
        for name, track in self.tracks.items():
            unknown = sorted(set(track.tasks) - set(self.tasks))
            if unknown:
                raise ValueError(f"tracks.{name}.tasks: no task '{unknown[0]}'")
            for dataset_name in track.pretrain_data:
                if dataset_name not in self.datasets:
                    raise ValueError(f"tracks.{name}.pretrain_data: no data set '{dataset_name}'")
        for name, dataset in self.datasets.items():
            for task_name in dataset.predict:
                if task_name not in self.tasks:
                    raise ValueError(f"datasets.{name}.predict: no task '{task_name}'")
        return self
