"""From configuration to plan: `Names`, and the configuration of every job. What the rules ask, this answers.

A job's configuration holds only what the job uses, so that an edit reruns what it touches and no more.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cairn.config.bench import CURIABENCH
from cairn.config.findings import FAMILIES
from cairn.config.runs import Run
from cairn.datasets.labels import label_files
from cairn.dicom.headers import files_below
from cairn.io.stat_cache import StatCache
from cairn.sandbox.image import open_image
from cairn.workflow.names import ROLES, Names
from cairn.workflow.requests import encoder_mb, pretrain_mb


class Plan(Names):
    """An experiment, checked; its names, and what each of its jobs must know, as JSON."""

    def package_job(self, package: str) -> str:
        """What fetching a package needs."""
        return _json(self.experiment.cohort.packages[package])

    def donor_job(self, donor: str) -> str:
        """What building a donor needs."""
        return _json(self.experiment.cohort.donors[donor])

    def cohort_job(self, dataset: str) -> str:
        """What the generator needs to know of a data set."""
        spec, cohort = self.datasets[dataset].cohort, self.experiment.cohort
        assert spec is not None
        sites = {name: site for name, site in cohort.sites.items() if name in spec.sites}
        return _json({"cohort": cohort.model_copy(update={"sites": sites}), "set": spec})

    def dicom_job(self, dataset: str) -> str:
        """What converting a folder of DICOM files needs."""
        spec = self.datasets[dataset].dicom
        assert spec is not None, "asked of DICOM data sets alone"
        return _json(spec)

    def dicom_fingerprint(self, dataset: str) -> str:
        """Hash over names, sizes and times of the files below a DICOM folder: what `convert` compares."""
        root = self.root / self.place(self.datasets[dataset].root)
        files = ((path, path.lstat()) for path in files_below(root))
        found = [(path.relative_to(root).as_posix(), at.st_size, at.st_mtime_ns) for path, at in files]
        return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16]

    def sequence_model_job(self) -> str:
        """What training the model of unknown sequences needs."""
        section, cohort = self.experiment.preprocess.unknown_sequences, self.experiment.cohort
        return _json({
            "seed": self.experiment.seed, "unknown_sequences": section, "sites": cohort.sites,
            "coarsen": cohort.coarsen,
        })  # fmt: skip

    def index_job(self, dataset: str, shard: str) -> str:
        """What indexing one shard of a real data set needs."""
        spec = self.datasets[dataset]
        job = {"dataset": dataset, "kind": self.layout(dataset), "shard": int(shard), "shards": spec.shards}
        return _json(job | ({"manifest": str(self.place(spec.manifest))} if spec.manifest else {}))

    def labels_job(self, dataset: str) -> str:
        """What gathering the labels of a data set needs."""
        task = self.tasks[self.task_of(dataset)]
        job: dict[str, Any] = {"kind": task.kind, "mask_sequence": task.mask_sequence}
        job["cohort"] = self.datasets[dataset].kind == "cohort"
        return _json(job | ({"classes": list(task.classes)} if task.classes else {}))

    def leakage_job(self) -> str:
        """What the check of subjects and files needs."""
        used = self.split_datasets
        rules = self._leakage("pretrain_finetune", "similar_names")
        return _json({
            "roles": {n: self.roles[n] for n in used}, "identities": {n: self.identities[n] for n in used},
            "leakage": rules,
        })  # fmt: skip

    def near_duplicates_job(self) -> str:
        """What comparing the scans of the sides needs."""
        rules = self._leakage("pretrain_finetune", "near_duplicate_distance")
        return _json({"roles": {n: self.roles[n] for n in self.split_datasets}, "leakage": rules})

    def canary_job(self, task: str) -> str:
        """What a task's canary needs."""
        seed = self.experiment.seed
        return _json({
            "task": self._task(task, "title"), "seed": seed,
            "permutations": self.experiment.leakage.canary_permutations,
        })  # fmt: skip

    def _leakage(self, *names: str) -> dict[str, Any]:
        return {name: getattr(self.experiment.leakage, name) for name in names}

    def preprocess_job(self, dataset: str, shard: str) -> str:
        """What preprocessing a shard needs; how many bad scans are too many, and how the model that tells unknown
        sequences is trained, is not its business.
        """
        section = self.experiment.preprocess.model_dump(mode="json", exclude={"max_bad_share", "unknown_sequences"})
        if (dataset, shard) in self.unknown_shards:
            use = self.experiment.preprocess.unknown_sequences
            section["unknown_sequences"] = {"method": use.method, "confidence_min": use.confidence_min}
        return _json(section)

    def preprocess_mem_mb(self) -> int:
        """Memory that preprocessing a shard asks for: never less than a scan at the guard's limits takes."""
        return max(2500, self.experiment.preprocess.guard.memory_mb)

    def accept_job(self) -> str:
        """What accepting a data set's shards needs."""
        return _json({"max_bad_share": self.experiment.preprocess.max_bad_share})

    def qc_job(self) -> str:
        """What the quality page needs."""
        return _json({"experiment": self.experiment.name, "qc": self.experiment.qc})

    def published_fingerprint(self, dataset: str) -> str:
        """Hash over the files of a published data set, by content."""
        return self._fingerprint(f"published/{dataset}.json", self.root, map(Path, self.published_files(dataset)))

    def label_fingerprint(self, dataset: str) -> str:
        """Hash over the label files of a real data set, masks too, by content."""
        if self.datasets[dataset].kind == "cohort":
            return ""
        source = self.root / self.label_source(dataset)
        return self._fingerprint(f"labels/{dataset}.json", source, label_files(source))

    def _fingerprint(self, kept: str, root: Path, files: Iterable[Path]) -> str:
        """Hash over files by content; what a file's content was is kept in the state ``kept`` while its time stays."""
        with StatCache(self.state(kept)) as cache:
            full = [p if p.is_absolute() else self.root / p for p in files]
            rows = [(os.path.relpath(p, root), cache.sha256(p)) for p in full if p.is_file()]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]

    def pretrain_job(self, run: str, seed: str) -> str:
        """What pretraining one encoder needs."""
        row, e = self.runs[run], self.experiment
        objective = e.objectives[row.objective]
        own = {"steps": row.steps, "learning_rate": objective.learning_rate}
        return _json({
            "run": run, "seed": _seed(e.seed, seed), "network": e.networks[row.network], "device": e.device,
            "objective": objective, "data_fraction": row.data_fraction,
            "pretrain": {**e.pretrain.model_dump(mode="json"), **{k: v for k, v in own.items() if v is not None}},
        })  # fmt: skip

    def encoder_mb(self, run: str) -> int:
        """Memory of a job that reads the weights of a run's encoder, in MB."""
        return encoder_mb(self.experiment.networks[self.runs[run].network])

    def pretrain_mb(self, run: str) -> int:
        """Memory of a run's pretraining on one machine, in MB."""
        row, e = self.runs[run], self.experiment
        return pretrain_mb(e.networks[row.network], e.objectives[row.objective], e.pretrain.per_node)

    def import_job(self, run: str, seed: str) -> str:
        """What importing foreign weights needs; the seed decides what they leave open."""
        e = self.experiment
        return _json({"run": run, "seed": _seed(e.seed, seed), "network": e.networks[self.runs[run].network]})

    def finetune_job(self, run: str, task: str, seed: str) -> str:
        """What fine-tuning one model needs."""
        if self.tasks[task].kind == "probe":
            return _json({**self._model_job(run, task, seed), "probe": self._recipe(task)})
        recipe, voxels = self._recipe(task), "classical_max_voxels"
        if self.runs[run].method == "classical":
            recipe = {voxels: recipe[voxels]}
        else:
            recipe["mode"] = self.runs[run].finetune_mode or recipe["mode"]
            idle = {voxels} if recipe["mode"] == "lora" else {voxels, "lora_rank", "lora_alpha"}
            recipe = {k: v for k, v in recipe.items() if k not in idle}
        return _json({**self._model_job(run, task, seed), "finetune": recipe})

    def predict_job(self, run: str, task: str, seed: str) -> str:
        """What predicting with one model needs."""
        return _json(self._model_job(run, task, seed))

    def entry_job(self, run: str, task: str) -> str:
        """What running an entry on one task needs."""
        e = self.experiment
        job = {
            "run": run, "seed": _seed(e.seed, "0"), "task": self._task(task, "title"),
            "challenge": e.challenge.model_dump(mode="json", exclude={"build"}),
            "follow_links": e.preprocess.guard.follow_links,
        }  # fmt: skip
        return _json(job | ({"probe": self._recipe(task)} if self.tasks[task].kind == "probe" else {}))

    def image_fingerprint(self, run: str) -> str:
        """Hash over an entry's image, by content: another image reruns that entry."""
        with StatCache(self.state(f"images/{run}.json")) as cache:
            return open_image(self.root / self.image(run)).digest(cache.sha256)[:16]

    def items_job(self, dataset: str, form: str) -> str:
        """What making items of a data set in one form needs."""
        return _json({"dataset": dataset, "form": self.forms[form], "seed": self.experiment.seed})

    def targets_job(self, dataset: str, task: str) -> str:
        """What reading a task's targets off the truth needs."""
        return _json({"task": self._bench_target(task), "form": self.forms[self.form_in(dataset, task)]})

    def import_items_job(self, dataset: str) -> str:
        """What bringing in items of a published data set needs."""
        return _json({"dataset": dataset, "published": self.datasets[dataset].published})

    def embed_job(self, run: str, seed: str) -> str:
        """What embedding items with one encoder needs."""
        row, e = self.runs[run], self.experiment
        job = {"run": run, "seed": _seed(e.seed, seed), "network": e.networks[row.network], "device": e.device}
        volumes = {
            "patch_px": e.volume_patch_px, "planes": {f: form.plane for f, form in self.forms.items() if form.sequence},
        }  # fmt: skip
        return _json({
            **job, "contract": self._contract(row), **(volumes if e.networks[row.network].dims == 3 else {}),
        })  # fmt: skip

    def _contract(self, row: Run) -> dict[str, Any]:
        """What a run's encoder is shown of slices: as its objective has it, the row, or the experiment."""
        learned = getattr(self.experiment.objectives.get(row.objective), "contract", self.experiment.slices)
        contract = {name: getattr(learned, name) for name in ("version", "clip_below_air", "size_px")}
        return contract | ({"version": row.contract} if row.contract else {})

    def head_job(self, run: str, task: str, seed: str) -> str:
        """What fitting one head, and predicting with it, needs."""
        frozen = self.tasks[task].frozen
        assert frozen is not None, "asked of frozen tasks alone"
        # The curve is another job's business.
        plain = {"name": task, **self._bench_target(task), "frozen": frozen.model_copy(update={"few_shot": None})}
        return _json({"run": run, "seed": _seed(self.experiment.seed, seed), "task": plain})

    def few_shot_job(self, run: str, task: str) -> str:
        """What the heads of a few-shot curve need; the curve is that of the first seed's encoder."""
        plain = {"name": task, **self._bench_target(task), "frozen": self.tasks[task].frozen}
        return _json({"run": run, "seed": _seed(self.experiment.seed, "0"), "task": plain})

    def absent_job(self) -> str:
        """What listing CuriaBench's absent tasks needs: where its files would lie, and which are there."""
        root = self.root / (self.experiment.curiabench or CURIABENCH)
        there = sorted({p.parent.name + "/" + p.name.split("-")[0] for p in root.glob("*/*-*.parquet")})
        return _json({"root": str(self.place(str(root))), "there": there})

    def _bench_target(self, task: str) -> dict[str, Any]:
        section = self.tasks[task]
        return {"kind": section.kind, "key": section.target, "classes": list(section.classes)}

    def _model_job(self, run: str, task: str, seed: str) -> dict[str, Any]:
        row, e = self.runs[run], self.experiment
        job = {"run": run, "seed": _seed(e.seed, seed), "method": row.method, "task": self._task(task, "title")}
        return job if row.method == "classical" else {**job, "network": e.networks[row.network], "device": e.device}

    def evaluate_job(self, run: str, task: str) -> str:
        """What scoring one run on one task needs."""
        return _json({
            "run": run, "track": self.runs[run].track, "task": self._task(task, "title", "frozen", "target"),
            "seeds": list(self.seeds(run)), "cohort": self.tasks[task].test, "seed": self.experiment.seed,
            "evaluate": self.experiment.evaluate.for_kind(self.tasks[task].kind),
        })  # fmt: skip

    def tracks_job(self) -> str:
        """What checking the tracks needs."""
        runs = {
            run: {"track": row.track, "labelled": self._labelled(run)} | ({"sealed": True} if row.image else {})
            for run, row in self.runs.items()
        }
        return _json({"tracks": dict(self.experiment.tracks), "runs": runs})

    def _labelled(self, run: str) -> dict[str, str]:
        """Labelled data sets that a run's models may rest on, by task."""
        found = {task: self.train_data(run, task) for task in self.tasks_of(run)}
        return found | {f"{t} (validation)": v for t in found if (v := self.tasks[t].validation)}

    def leaderboard_job(self) -> str:
        """What ranking all runs needs."""
        return _json(self._board())

    def _board(self) -> dict[str, Any]:
        e = self.experiment
        return {
            "experiment": e.name, "seed": e.seed, "runs": [self._said(row) for row in self.runs.values()],
            "tasks": {name: self._task(name, "frozen", "target") for name in self.tasks}, "evaluate": e.evaluate,
            "tracks": {name: {"tasks": list(track.tasks)} for name, track in e.tracks.items() if track.tasks},
        }  # fmt: skip

    def _said(self, row: Run) -> Run:
        """A row with what it leaves to its objective or the experiment: runs of one recipe are compared, wherever it
        is said.
        """
        said: dict[str, Any] = {} if row.finetune_mode else {"finetune_mode": self.experiment.finetune.mode}
        return row.model_copy(update=said | ({"contract": self._contract(row)["version"]} if self.frozen_tasks else {}))

    def findings_job(self) -> str:
        """What testing FOMO25's findings needs."""
        e = self.experiment
        made = {run: row for run, row in self.runs.items() if row.method == "pretrained" and not row.weights}
        samples = {run: (row.steps or e.pretrain.steps) * e.pretrain.batch_size for run, row in made.items()}
        return _json({
            **self._board(), "samples": samples,
            "families": {run: FAMILIES[e.objectives[row.objective].kind] for run, row in made.items()},
            "networks": {run: e.networks[row.network] for run, row in made.items()},
        })  # fmt: skip

    def report_job(self) -> str:
        """What the page needs to know."""
        e = self.experiment
        return _json({
            "experiment": e.name, "runs": list(self.runs.values()), "tasks": {n: self._task(n) for n in self.tasks},
            "tracks": dict(e.tracks), "datasets": self.datasets, "seed": e.seed, "seeds": list(range(e.seeds)),
            "spacing_mm": e.preprocess.grid.spacing_mm, "note": e.note,
        })  # fmt: skip

    def _task(self, name: str, *without: str) -> dict[str, Any]:
        """A task without its recipe and data sets: what a model is for."""
        task = self.tasks[name].model_dump(mode="json", exclude={*ROLES, "recipe", "enabled", *without})
        return {"name": name, **task}


def _seed(base: int, seed: str) -> int:
    """Seed of a job: the experiment's seed and the repetition, kept apart."""
    return base * 1000 + int(seed)


def _json(data: Any) -> str:
    return json.dumps(data, sort_keys=True, default=lambda section: section.model_dump(mode="json"))
