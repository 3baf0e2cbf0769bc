"""Names of the benchmark of frozen encoders: forms of items, who embeds what, which heads and curves."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

from cairn.config.bench import CURIABENCH, PUBLISHED, ItemForm
from cairn.config.experiment import DatasetConfig, ExperimentConfig
from cairn.config.runs import Run
from cairn.config.tasks import TaskConfig
from cairn.errors import CairnError

FROZEN_ROLES = ("finetune", "validation", "test")


class FrozenNames:
    """What the benchmark derives from an experiment: a part of `cairn.workflow.names.Names`."""

    root: Path
    experiment: ExperimentConfig
    tasks: Mapping[str, TaskConfig]
    runs: Mapping[str, Run]

    @property
    @abstractmethod
    def datasets(self) -> Mapping[str, DatasetConfig]:
        """Data sets by name."""

    @abstractmethod
    def place(self, path: str) -> Path:
        """A path of the configuration."""

    @abstractmethod
    def entries(self, names: Iterable[str]) -> list[dict[str, str]]:
        """Every run with each of its tasks that is among ``names``."""

    @abstractmethod
    def seeds(self, run: str) -> range:
        """Seeds of a run."""

    @abstractmethod
    def encoder_run(self, run: str) -> str:
        """The run that makes the encoders which a run starts from."""

    @property
    def scanned(self) -> list[str]:
        """Data sets of scans, which are preprocessed; all but those that come as items."""
        return [n for n in self.datasets if n not in self.published]

    @property
    def published(self) -> list[str]:
        """Data sets that come as items for frozen encoders, in CuriaBench's published layout."""
        return [n for n, d in self.datasets.items() if d.kind == "curiabench"]

    def published_files(self, dataset: str) -> list[str]:
        """Files of a data set of CuriaBench.

        Raises:
            CairnError: when there is none.
        """
        section = self.datasets[dataset].published
        assert section is not None, "checked with the configuration"
        folder = self.place(self.datasets[dataset].root or self.experiment.curiabench or CURIABENCH)
        pattern = f"{section.config}/{section.split}-*.parquet"
        found = sorted((self.root / folder).glob(pattern))
        if not found:
            reason = f"Data set '{dataset}': no file {folder / pattern}."
            raise CairnError(reason, "Get the data (`cairn bench list` says how), and set 'curiabench'.", "missing")
        return [str(folder / section.config / path.name) for path in found]

    @property
    def session_tasks(self) -> list[str]:
        """Tasks that a model is fine-tuned or probed for, on whole sessions."""
        return [name for name, task in self.tasks.items() if task.on_sessions]

    @property
    def frozen_tasks(self) -> list[str]:
        """Tasks that a head tells from frozen features of items."""
        return [name for name, task in self.tasks.items() if not task.on_sessions]

    @cached_property
    def forms(self) -> dict[str, ItemForm]:
        """Every form of items, by a name: two tasks that ask for the same form share items and features."""
        found: dict[str, ItemForm] = {}
        for name in self.frozen_tasks:
            for role in ("finetune", "test"):
                form = self._form(name, role)
                if form.kind == PUBLISHED:
                    found[PUBLISHED] = form
                elif form not in found.values():
                    plain = "_".join(w for w in (form.kind, form.mask, form.sequence.lower()) if w)
                    alike = sum(known.split("-")[0] == plain for known in found)
                    found[plain + (f"-{alike + 1}" if alike else "")] = form
        return found

    def _form(self, task: str, role: str) -> ItemForm:
        frozen = self.tasks[task].frozen
        assert frozen is not None, "asked of frozen tasks alone"
        return frozen.items if role == "test" else frozen.train_items or frozen.items

    def form_of(self, task: str, role: str) -> str:
        """Name of the form in which a frozen task sees its data set of a role."""
        wanted = self._form(task, role)
        if wanted.kind == PUBLISHED:
            return PUBLISHED
        return next(name for name, form in self.forms.items() if form == wanted)

    def form_in(self, dataset: str, task: str) -> str:
        """Name of the form in which a frozen task sees a data set."""
        return self.form_of(task, "test" if self.tasks[task].test == dataset else "finetune")

    @cached_property
    def item_sets(self) -> dict[str, list[str]]:
        """Forms that each data set's items are made in."""
        found: dict[str, list[str]] = {}
        for task in self.frozen_tasks:
            for role, dataset in self.sets_of(task).items():
                forms = found.setdefault(dataset, [])
                forms += [f for f in [self.form_of(task, role)] if f not in forms]
        return found

    def sets_of(self, task: str) -> dict[str, str]:
        """Data sets of a frozen task by role: training, test, and validation where there is one."""
        named = {role: str(getattr(self.tasks[task], role)) for role in FROZEN_ROLES}
        return {role: dataset for role, dataset in named.items() if dataset}

    def features_run(self, run: str) -> str:
        """The run whose features a run's heads read: that of its encoder, or the first of the same random start."""
        row = self.runs[run]
        alike = (
            name for name, other in self.runs.items()
            if (other.method, other.network, other.contract) == ("scratch", row.network, row.contract)
        )  # fmt: skip
        return self.encoder_run(run) or next(alike, run)

    @property
    def embedded(self) -> list[dict[str, str]]:
        """Every encoder with each data set that it embeds."""
        found: dict[tuple[str, str, str], None] = {}
        for entry in self.entries(self.frozen_tasks):
            for dataset in self.sets_of(entry["task"]).values():
                for seed in self.seeds(entry["run"]):
                    found[self.features_run(entry["run"]), str(seed), dataset] = None
        return [{"run": run, "seed": seed, "dataset": dataset} for run, seed, dataset in found]

    @property
    def curves(self) -> list[dict[str, str]]:
        """Every few-shot curve."""
        return self.entries(t for t in self.frozen_tasks if (f := self.tasks[t].frozen) and f.few_shot)

    def seeded(self, entries: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
        """Entries of runs, with each seed of the run."""
        return [{**entry, "seed": str(seed)} for entry in entries for seed in self.seeds(entry["run"])]

    def frozen_jobs(self) -> dict[str, list[dict[str, str]]]:
        """Every job of the benchmark."""
        headed = self.seeded(self.entries(self.frozen_tasks))
        return {
            "make_items": [
                {"dataset": d, "form": form}
                for d, forms in self.item_sets.items()
                if d in self.scanned
                for form in forms
            ],
            "import_items": [{"dataset": d} for d in self.item_sets if d in self.published],
            "item_targets": [
                {"dataset": d, "task": t} for t in self.frozen_tasks for d in dict.fromkeys(self.sets_of(t).values())
            ],
            "embed_items": self.embedded,
            "fit_head": headed,
            "predict_head": headed,
            "few_shot": self.curves,
            "few_shot_curve": self.curves,
            "absent_tasks": [{}] if self.frozen_tasks else [],
        }  # fmt: skip
