"""From configuration to names: data sets, shards, packages, runs, and every job of every rule."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from cairn.config.base import parse
from cairn.config.experiment import DatasetConfig, ExperimentConfig
from cairn.config.learn import FinetuneConfig, ProbeConfig
from cairn.config.runs import Run, read_runs
from cairn.config.tracks import tasks_of
from cairn.datasets.layouts.place import find_labels
from cairn.datasets.listing import Listing
from cairn.datasets.manifest import ManifestListing
from cairn.datasets.overlaps import check_overlaps
from cairn.errors import CairnError
from cairn.io.atomic import read_json, write_json
from cairn.io.release import files_of
from cairn.io.sharding import shard_name, shard_of
from cairn.workflow.checks import check_entry, check_foreign, check_run, check_splits, recipe_of
from cairn.workflow.disjoint import check_rows, known_as, name_spaces
from cairn.workflow.frozen import FrozenNames

ROLES = ("finetune", "validation", "indomain", "test")
PREPROCESS_PACKAGES = ("deepbet", "nimare")  # weights of the skull-strip network; template head with a mask


class Names(FrozenNames):
    """An experiment, checked, and every name that the workflow derives from it.

    Args:
        config: the merged configuration, as plain data.
        root: the repository's folder; relative paths of the configuration start there.

    Raises:
        CairnError: for whatever is wrong in the configuration, the runs table or a data set's folder.
    """

    def __init__(self, config: Mapping[str, Any], root: Path) -> None:
        self.root = root
        self.experiment = parse(ExperimentConfig, config)
        self.results = f"results/{self.experiment.name}"
        table = root / self.experiment.runs
        self.tasks = {n: t for n, t in self.experiment.tasks.items() if t.enabled}
        self.runs: dict[str, Run] = {r.run: r for r in read_runs(table)}
        for run in self.runs.values():
            check_run(self.experiment, run, table)
            check_foreign(self.experiment, root, run, table)
            check_entry(self.experiment, root, run, table)
        for task in self.session_tasks:
            section = ProbeConfig if self.tasks[task].kind == "probe" else FinetuneConfig
            parse(section, self._recipe(task), f"tasks.{task}.recipe")
        check_splits(self.experiment, self.roles)
        roles = self.roles
        held = {n: known_as(d, root / d.root, roles[n]) for n, d in self.datasets.items()}
        check_overlaps(held, roles, self.experiment.leakage.pretrain_finetune)

    # --- data sets -------------------------------------------------------------------------------------------------
    @cached_property
    def datasets(self) -> Mapping[str, DatasetConfig]:
        """Data sets by name, without those that only tasks that are switched off ask for."""
        every = self.experiment.datasets
        idle = {getattr(t, r) for t in self.experiment.tasks.values() if not t.enabled for r in ROLES}
        used = {getattr(t, r) for t in self.tasks.values() for r in ROLES}
        used |= {r.pretrain_data for r in self.runs.values()} | {n for n, d in every.items() if d.predict}
        return {name: section for name, section in every.items() if name in used or name not in idle}

    @property
    def cohort_datasets(self) -> list[str]:
        """Data sets that the workflow makes."""
        return [n for n, d in self.datasets.items() if d.kind == "cohort"]

    @property
    def real_datasets(self) -> list[str]:
        """Data sets of scans that lie somewhere else."""
        return [n for n, d in self.datasets.items() if d.kind not in ("cohort", "curiabench")]

    @cached_property
    def listings(self) -> dict[str, Listing | ManifestListing]:
        """The trees and manifests of the real data sets."""
        return {name: self._listing(name) for name in self.real_datasets if name not in self.unconverted}

    def _listing(self, name: str) -> Listing | ManifestListing:
        spec, raw = self.datasets[name], self.root / self.results / "raw" / name
        if spec.kind == "manifest":
            found = ManifestListing(self.root / spec.manifest, spec.shards, self.state(f"manifests/{name}.json"))
            check_rows(name, self.root / spec.manifest, found.splits, self.roles[name])
            return found
        root = self.root / self.data_root(name)
        return Listing(
            root, self.layout(name), spec.shards, raw / "tokens", self.state(f"listing/{name}"), raw / "index"
        )

    @property
    def dicom_datasets(self) -> list[str]:
        """Data sets that come as DICOM files."""
        return [n for n, d in self.datasets.items() if d.kind == "dicom"]

    @cached_property
    def unconverted(self) -> list[str]:
        """Those of them that the target ``convert`` has not converted yet: they have no shard."""
        return [n for n in self.dicom_datasets if not self._conversion(n).is_file()]

    def _conversion(self, dataset: str) -> Path:
        return self.root / self.results / "raw" / dataset / "converted.run.json"

    def layout(self, dataset: str) -> str:
        """Layout of a real data set's scans; what DICOM files are converted to is a plain tree."""
        kind = self.datasets[dataset].kind
        return "fomo60k" if kind == "dicom" else kind

    def data_root(self, dataset: str) -> Path:
        """Folder that a data set's index paths start from."""
        if self.datasets[dataset].kind == "cohort":
            return Path(self.results) / "raw" / dataset
        if self.datasets[dataset].kind == "dicom":
            return Path(self.results) / "raw" / dataset / "converted"
        return self.place(self.datasets[dataset].root)

    def label_source(self, dataset: str) -> Path:
        """Table or folder that a real data set's labels come from.

        Raises:
            CairnError: when the configuration names none, and none lie beside the scans of a fine-tune set.
        """
        section = self.datasets[dataset]
        if section.kind == "fomo_task" and not section.labels:
            return self.place(str(find_labels(self.root / section.root)))
        if not section.labels:
            reason = f"Data set '{dataset}' has no 'labels' in the configuration."
            raise CairnError(reason, f"Name its label table or folder: datasets.{dataset}.labels.", "config")
        return self.place(section.labels)

    def state(self, name: str) -> Path:
        """A file of this machine's own: no result, and nothing that another clone needs."""
        return self.root / self.results / ".state" / name

    def place(self, path: str) -> Path:
        """A path of the configuration, relative to the repository where it lies inside, so that clones plan alike."""
        full = Path(os.path.normpath(self.root / path))
        return full.relative_to(self.root) if full.is_relative_to(self.root) else full

    @cached_property
    def shards(self) -> dict[str, list[str]]:
        """Shards that hold a session, by data set."""
        from cairn.cohort.plan import sessions

        found: dict[str, list[str]] = {name: [] for name in self.unconverted}
        found |= {name: listing.shards for name, listing in self.listings.items()}
        for name in self.cohort_datasets:
            spec, count = self.datasets[name].cohort, self.datasets[name].shards
            assert spec is not None
            numbers = {shard_of(subject, session, count) for subject, session in sessions(spec, name)}
            found[name] = [shard_name(n) for n in sorted(numbers)]
        return found

    def record(self, config: Mapping[str, Any]) -> None:
        """Keep the merged configuration beside the results: `cairn rebuild` and the exports read it."""
        path = self.root / self.results / "config.json"
        if not path.is_file() or read_json(path) != config:
            write_json(path, dict(config))

    @property
    def roles(self) -> dict[str, list[str]]:
        """Uses of each data set: ``pretrain``, ``finetune``, ``indomain``, ``test``."""
        found: dict[str, set[str]] = {name: set() for name in self.datasets}
        for run in self.runs.values():
            if run.run in self.pretrained_runs:
                found[run.pretrain_data].add("pretrain")
        for task in self.tasks.values():
            for role in ROLES:
                if getattr(task, role):
                    found[getattr(task, role)].add(role)
        return {name: sorted(roles) for name, roles in found.items()}

    @property
    def identities(self) -> dict[str, str]:
        """Name space of the subject identifiers of each data set."""
        return name_spaces(self.datasets, self.data_root, self._conversion)

    @property
    def split_datasets(self) -> list[str]:
        """Data sets of scans that stand on a side of the split."""
        return [name for name in self.scanned if self.roles[name]]

    @property
    def canary_tasks(self) -> list[str]:
        """Tasks of two classes told from sessions: the canary learns each from permuted labels."""
        return [name for name in self.session_tasks if self.tasks[name].kind == "classification"]

    @property
    def people_datasets(self) -> list[str]:
        """Test sets whose age and sex evaluation asks for."""
        return list(dict.fromkeys(d for task in self.tasks for d in self.people_of(task)))

    def people_of(self, task: str) -> list[str]:
        """The test set of a task, if its age and sex are asked for."""
        asked = self.experiment.evaluate.fairness.enabled and task in self.session_tasks
        return [self.tasks[task].test] if asked else []

    @property
    def labelled_datasets(self) -> list[str]:
        """Data sets whose labels a task on sessions reads."""
        used = {getattr(self.tasks[t], r) for t in self.session_tasks for r in ROLES}
        return [name for name in self.datasets if name in used]

    def task_of(self, dataset: str) -> str:
        """The task on sessions that a labelled data set belongs to."""
        tasks = [n for n in self.session_tasks if dataset in (getattr(self.tasks[n], r) for r in ROLES)]
        if not tasks:
            raise CairnError(f"Data set '{dataset}' has no labels: no task names it.", "Add it to a task.", "config")
        return tasks[0]

    # --- packages and donors of the embedded cohort ------------------------------------------------------------------
    @property
    def packages(self) -> dict[str, str]:
        """File name of each pinned archive that the experiment uses -> package."""
        names = {*PREPROCESS_PACKAGES, *(p for d in self.cohort_datasets for p in self._packages_of(d))}
        if self.unknown_shards:
            names |= {self.experiment.cohort.donors[d].package for g in ("train", "test") for d in self.model_donors(g)}
        return {self.archive(name): name for name in sorted(names)}

    @property
    def archives(self) -> dict[str, str]:
        """File name of every archive that the configuration pins, used or not -> package."""
        return {self.archive(name): name for name in sorted(self.experiment.cohort.packages)}

    def archive(self, package: str) -> str:
        """File name under which a package is kept."""
        return f"{package}.{self.experiment.cohort.packages[package].archive}"

    def donors_of(self, dataset: str) -> tuple[str, ...]:
        """Donors of a data set of the cohort."""
        from cairn.cohort.plan import donors_of

        spec = self.datasets[dataset].cohort
        assert spec is not None
        return donors_of(self.experiment.cohort, spec)

    def donor_archive(self, donor: str) -> str:
        """Archive that a donor is built from."""
        return self.archive(self.experiment.cohort.donors[donor].package)

    @cached_property
    def unknown_shards(self) -> frozenset[tuple[str, str]]:
        """Data set and shard wherever the names leave a sequence open and the image shall tell it."""
        if self.experiment.preprocess.unknown_sequences.method == "leave":
            return frozenset()
        return frozenset((name, shard) for name, listing in self.listings.items() for shard in listing.unknown)

    def model_donors(self, group: str) -> tuple[str, ...]:
        """Donors that the sequence model learns from (``train``) or is judged on (``test``)."""
        groups = self.experiment.cohort.donor_groups
        if group == "test":
            return groups["test"]
        return tuple(dict.fromkeys([*groups["train"], *groups["indomain"]]))

    def _packages_of(self, dataset: str) -> list[str]:
        return [self.experiment.cohort.donors[donor].package for donor in self.donors_of(dataset)]

    # --- runs ------------------------------------------------------------------------------------------------------
    @property
    def pretrained_runs(self) -> list[str]:
        """Runs that pretrain an encoder."""
        return [n for n, r in self.runs.items() if r.method == "pretrained" and not r.encoder and not r.weights]

    @property
    def imported_runs(self) -> list[str]:
        """Runs that import foreign weights."""
        return [n for n, r in self.runs.items() if r.weights and not r.encoder]

    @property
    def sealed_runs(self) -> list[str]:
        """Entries: runs that are a sealed image, and have no model here."""
        return [n for n, r in self.runs.items() if r.method == "container"]

    @property
    def model_runs(self) -> list[str]:
        """Runs whose models are made here: all but entries."""
        return [n for n in self.runs if n not in self.sealed_runs]

    def image(self, run: str) -> Path:
        """The image of an entry."""
        return self.place(self.runs[run].image)

    def head_data(self, task: str) -> list[str]:
        """The set that the organiser fits an entry's head to: of a probe its training set, else none."""
        return [self.tasks[task].finetune] if self.tasks[task].kind == "probe" else []

    def foreign(self, run: str, column: str) -> list[str]:
        """Files that a run's ``weights`` or ``mapping`` names, if it names one; of a released model all, the weights
        first.
        """
        name = getattr(self.runs[run], column)
        if not name:
            return []
        named = self.root / name
        return [str(self.place(str(path))) for path in (files_of(named) if column == "weights" else [named])]

    def encoder_run(self, run: str) -> str:
        """The run that makes the encoders which a run starts from; none for scratch and classical runs."""
        row = self.runs[run]
        return (row.encoder or run) if row.method == "pretrained" else ""

    def tasks_of(self, run: str) -> list[str]:
        """Tasks of a run: those of its track."""
        return tasks_of(self.experiment.tracks, self.runs[run].track, self.tasks)

    def entries(self, names: Iterable[str]) -> list[dict[str, str]]:
        """Every run with each of its tasks that is among ``names``."""
        wanted = set(names)
        return [{"run": run, "task": task} for run in self.runs for task in self.tasks_of(run) if task in wanted]

    def submission_tasks(self, run: str) -> list[str]:
        """Tasks of a row that can be packaged as container entries.

        Raises:
            CairnError: when there is no such row, or it has no model of its own on a task of sessions.
        """
        if run not in self.runs:
            reason = f"Run '{run}' is not in {self.experiment.runs}." if run else "Which row is to be packaged?"
            raise CairnError(reason, f"Name one of {', '.join(self.runs)}: --config run=…", "runs")
        tasks = [job["task"] for job in self.jobs()["finetune_model"] if (job["run"], job["seed"]) == (run, "0")]
        if not tasks:
            reason = f"Run '{run}' has no fine-tuned model: nothing of it can be packaged."
            raise CairnError(reason, "Name a run that is fine-tuned on a task of sessions.", "runs")
        return tasks

    def seeds(self, run: str) -> range:
        """Seeds of a run."""
        if self.runs[run].method == "container":
            return range(1)  # a sealed image has been trained
        return range(self.runs[run].seeds or self.experiment.seeds)

    def train_data(self, run: str, task: str) -> str:
        """The labelled data set that a run is fine-tuned on."""
        return str(getattr(self.tasks[task], self.runs[run].train_on))

    @cached_property
    def gpus_per_job(self) -> int:
        """1 where jobs use the GPU, else 0."""
        if self.experiment.device != "auto":
            return int(self.experiment.device == "cuda")
        probe = shutil.which("nvidia-smi")
        return int(
            probe is not None and subprocess.run([probe, "-L"], capture_output=True, check=False).returncode == 0
        )

    def jobs(self) -> dict[str, list[dict[str, str]]]:
        """Every job of the experiment: the wildcards of each rule's jobs. Fetching, and what `apply` adds, left out."""
        shards = {d: [{"dataset": d, "shard": s} for s in self.shards[d]] for d in self.scanned}
        asked = self.seeded(self.entries(self.session_tasks))
        sealed = set(self.sealed_runs)
        trained = [job for job in asked if job["run"] not in sealed]
        return {
            "build_donor": [
                {"donor": d} for d in dict.fromkeys(d for n in self.cohort_datasets for d in self.donors_of(n))
            ],
            "cohort_shard": [job for d in self.cohort_datasets for job in shards[d]],
            "index_shard": [job for d in self.real_datasets for job in shards[d]],
            "manifest": [{"dataset": d} for d in self.scanned],
            "labels": [{"dataset": d} for d in self.labelled_datasets],
            "leakage": [{}],
            "people": [{"dataset": d} for d in self.people_datasets],
            "sequence_model": [{}] if self.unknown_shards else [],
            "preprocess_shard": [job for d in self.scanned for job in shards[d]],
            "accept_dataset": [{"dataset": d} for d in self.scanned],
            "near_duplicates": [{}],
            "no_leaks": [{}],
            "qc": [{}],
            "pretrain_encoder": [{"run": r, "seed": str(s)} for r in self.pretrained_runs for s in self.seeds(r)],
            "import_weights": [{"run": r, "seed": str(s)} for r in self.imported_runs for s in self.seeds(r)],
            "finetune_model": trained,
            "predict_test": trained,
            "predict_entry": [job for job in asked if job["run"] in sealed],
            **self.frozen_jobs(),
            "evaluate_run": self.entries(self.tasks),
            "label_canary": [{"task": t} for t in self.canary_tasks],
            "tracks": [{}],
            "leaderboard": [{}],
            "findings": [{}],
            "report": [{}],
            "findings_page": [{}],
            "tables": [{}],
        }

    def _recipe(self, task: str) -> dict[str, Any]:
        return recipe_of(self.experiment, task)
