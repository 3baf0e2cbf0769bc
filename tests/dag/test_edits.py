"""Guards the promise that an edit reruns what it touches and nothing else: named edits, each with the exact plan.

The edits are made in a clone that DVC restored, where every file's time is new; with `make test-all` also in the tree
that the experiment was made in. Each is undone, and the plan must then be empty again.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml

from cairn.io.nifti import read_scan, write_scan
from cairn.io.sharding import shard_name, shard_of

RUNS = ("mae", "scratch_ood", "classical")
DEEP = ("mae", "scratch_ood")
TASKS = ("infarct", "meningioma", "age")
TESTS = ("infarct_test", "meningioma_test", "age_test")
COHORT = ("pretrain", "infarct_few", "meningioma_few", "age_few", *TESTS)
EVERY = (*COHORT, "mine")
LABELLED = ("infarct_few", "meningioma_few", *TESTS)  # of the cohort: age is fine-tuned on "mine"
SCANS = "data/my scans"
SUBJECT = "0003"
CONFIG = "config/study.yaml"


def jobs(rule: str, **wildcards: str | Iterable[str]) -> set:
    """Jobs of a rule: every combination of the wildcards' values."""
    names = sorted(wildcards)
    values = [[v] if isinstance(v, str) else list(v) for v in (wildcards[n] for n in names)]
    return {(rule, tuple(zip(names, combination, strict=True))) for combination in itertools.product(*values)}


def shard(subject: str) -> str:
    return shard_name(shard_of(subject, "1", 3))


def shards(rule: str, datasets: Iterable[str]) -> set:
    """A rule's jobs for all shards of data sets."""
    numbers = dict.fromkeys(COHORT, ("0000",)) | {
        "pretrain": ("0000", "0001"), "mine": sorted({shard(f"{n:04d}") for n in range(5)}),
    }  # fmt: skip
    return {job for d in datasets for job in jobs(rule, dataset=d, shard=numbers[d])}


PAGES = jobs("report") | jobs("findings_page")
END = jobs("leaderboard") | jobs("findings") | jobs("tables") | PAGES


def scored(run: str | Iterable[str], task: str | Iterable[str], seed: str = "0") -> set:
    """What follows from new models: predictions of the test and of the real folder, scores, the end."""
    applied = jobs("apply_model", dataset="mine", run=run, task="age", seed=seed) if "age" in task else set()
    predicted = jobs("predict_test", run=run, task=task, seed=seed)
    return applied | predicted | jobs("evaluate_run", run=run, task=task) | END


def trained(run: str | Iterable[str], task: str | Iterable[str]) -> set:
    """New fine-tunings and what follows."""
    return jobs("finetune_model", run=run, task=task, seed="0") | jobs("tracks") | scored(run, task)


def evaluated(task: str | Iterable[str]) -> set:
    return jobs("evaluate_run", run=RUNS, task=task) | END


COMPARED = jobs("near_duplicates") | jobs("no_leaks")
CANARY = jobs("label_canary", task="infarct")
PRETRAINED = jobs("pretrain_encoder", run="mae", seed="0") | trained("mae", TASKS)
ONE_SHARD = (
    jobs("index_shard", dataset="mine", shard=shard(SUBJECT))
    | jobs("preprocess_shard", dataset="mine", shard=shard(SUBJECT))
    | jobs("accept_dataset", dataset="mine") | jobs("manifest", dataset="mine") | jobs("leakage") | jobs("qc")
    | COMPARED | trained(RUNS, "age")
)  # fmt: skip
ACCEPTED = jobs("accept_dataset", dataset=EVERY)
PREPROCESSED = (
    shards("preprocess_shard", EVERY) | ACCEPTED | COMPARED | CANARY | jobs("qc") | PRETRAINED | trained(RUNS, TASKS)
)  # fmt: skip
AGE_TEST = (
    jobs("cohort_shard", dataset="age_test", shard="0000") | jobs("preprocess_shard", dataset="age_test", shard="0000")
    | jobs("accept_dataset", dataset="age_test") | jobs("manifest", dataset="age_test")
    | jobs("labels", dataset="age_test") | jobs("leakage") | COMPARED | jobs("qc")
    | jobs("predict_test", run=RUNS, task="age", seed="0") | evaluated("age")
)  # fmt: skip


@contextmanager
def kept(*paths: Path) -> Iterator[None]:
    """Bring files back afterwards as they were, times too; what was not there goes."""
    before = {p: (p.read_bytes(), p.stat()) if p.is_file() else None for p in paths}
    try:
        yield
    finally:
        for path, was in before.items():
            if was is None:
                path.unlink(missing_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(was[0])
                os.utime(path, ns=(was[1].st_atime_ns, was[1].st_mtime_ns))


@dataclass(frozen=True)
class Edit:
    """What is done to which files."""

    files: tuple[str, ...]
    do: Callable[[Path], None]

    @contextmanager
    def made(self, root: Path) -> Iterator[None]:
        with kept(*(root / f for f in self.files)):
            self.do(root)
            yield


def text(file: str, pattern: str, new: str) -> Edit:
    """Replace the first match of a pattern."""

    def do(root: Path) -> None:
        before = (root / file).read_text(encoding="utf-8")
        after = re.sub(pattern, new, before, count=1, flags=re.MULTILINE)
        assert after != before, f"{file}: nothing matches {pattern}"
        (root / file).write_text(after, encoding="utf-8")

    return Edit((file,), do)


def code(file: str) -> Edit:
    """Something new that the module does."""
    return text(f"src/cairn/{file}", r"\Z", "\nADDED = 1\n")


def config(*path_and_value: object) -> Edit:
    """Set one key of the configuration."""
    *path, value = path_and_value

    def do(root: Path) -> None:
        whole = yaml.safe_load((root / CONFIG).read_text())
        section = whole
        for key in path[:-1]:
            section = section.setdefault(key, {})
        section[path[-1]] = value
        (root / CONFIG).write_text(yaml.safe_dump(whole, sort_keys=False))

    return Edit((CONFIG,), do)


def touch(*files: str) -> Edit:
    return Edit(files, lambda root: [os.utime(root / f) for f in files] and None)


def scan(subject: str, sequence: str = "T1w") -> str:
    return f"{SCANS}/sub-{subject}/ses-1/anat/sub-{subject}_ses-1_{sequence}.nii.gz"


def change_scan(root: Path) -> None:
    volume = read_scan(root / scan(SUBJECT))
    write_scan(root / scan(SUBJECT), np.asarray(volume.data, np.float32) * 1.01, volume.affine)


def add_scan(root: Path) -> None:
    shutil.copy(root / scan(SUBJECT), root / scan(SUBJECT, "T2star"))


def tell_sex(root: Path) -> None:
    (root / SCANS / "participants.tsv").write_text(f"participant_id\tsex\nsub-{SUBJECT}\tF\n")


def sort_config(root: Path) -> None:
    (root / CONFIG).write_text(yaml.safe_dump(yaml.safe_load((root / CONFIG).read_text())))


NONE: set = set()
EDITS: dict[str, tuple[Edit, set]] = {
    # what changes nothing
    "comment in the trainer": (text("src/cairn/train/loop.py", r"\Z", "# a comment\n"), NONE),
    "docstring of a helper": (text("src/cairn/io/atomic.py", '"""Files appear whole', '"""Files come whole'), NONE),
    "comment in a script": (text("workflow/scripts/qc.py", "^import json", "# json\nimport json"), NONE),
    "comment in a rule file": (text("rules/pretrain.smk", "^rule ", "# a comment\n\n\nrule "), NONE),
    "comment in the Snakefile": (text("Snakefile", "^min_version", "# a comment\nmin_version"), NONE),
    "comment in the configuration": (text(CONFIG, r"\A", "# a comment\n"), NONE),
    "order of the configuration": (
        Edit((CONFIG,), sort_config), NONE,
    ),
    "a default written out": (config("finetune", "clip_norm", 1.0), NONE),
    "memory and time of a rule": (text("rules/finetune.smk", "mem_mb=4000", "mem_mb=9000"), NONE),
    "message of a rule": (text("rules/pretrain.smk", '"pretrain {', '"pretraining {'), NONE),
    "the profile": (text("profiles/default/config.yaml", "keep-going: true", "keep-going: false"), NONE),
    "the README": (text("README.md", r"\Z", "\nMore.\n"), NONE),
    "a test": (text("tests/conftest.py", r"\Z", "\nADDED = 1\n"), NONE),
    "a scan touched": (touch(scan(SUBJECT)), NONE),
    "labels touched": (touch("data/labels.tsv"), NONE),
    "an encoder touched": (touch("results/ci/pretrain/mae/seed-0/encoder.safetensors"), NONE),
    "an index touched": (touch("results/ci/preprocess/pretrain/0000.index.tsv"), NONE),
    "a source file touched": (touch("src/cairn/plan.py", "workflow/scripts/report.py"), NONE),
    "a pin of the tests' tools": (text("envs/test-py311.lock", r"^pytest==\S+", "pytest==99.0"), NONE),
    "a pin that no script imports": (text("envs/requirements-py311.lock", r"^aiohttp==\S+", "aiohttp==99.0"), NONE),
    # training
    "learning rate of one task": (config("tasks", "age", "recipe", {"learning_rate": 0.0123}), trained(DEEP, "age")),
    "learning rate of all tasks": (config("finetune", "learning_rate", 0.0123), trained(DEEP, TASKS)),
    "voxels of the classical model": (
        config("finetune", "classical_max_voxels", 1000), trained("classical", TASKS),
    ),
    "mask ratio": (config("objectives", "mae", "mask_ratio", 0.7), PRETRAINED),
    "steps of the pretraining": (config("pretrain", "steps", 14), PRETRAINED),
    "code of an objective": (code("ssl/mae.py"), PRETRAINED),
    "code of the classical model": (code("baselines/tabular.py"), trained(RUNS, TASKS) | CANARY),
    "code of the network": (code("nets/encoder.py"), PRETRAINED | trained(RUNS, TASKS)),
    "device": (config("device", "cpu"), PRETRAINED | trained(DEEP, TASKS)),
    "pin of scikit-learn": (
        text("envs/requirements-py311.lock", r"^scikit-learn==\S+", "scikit-learn==99.0"),
        trained(RUNS, TASKS) | CANARY,
    ),
    "pin of torch": (
        text("envs/requirements.in", r"^torch==\S+", "torch==99.0"),
        {("build_donor", (("donor", d),)) for d in ("oasis", "robex")} | shards("cohort_shard", COHORT)
        | jobs("manifest", dataset=COHORT) | jobs("labels", dataset=LABELLED) | jobs("leakage") | PREPROCESSED,
    ),
    # data
    "one scan changed": (Edit((scan(SUBJECT),), change_scan), ONE_SHARD),
    "one scan added": (Edit((scan(SUBJECT, "T2star"),), add_scan), ONE_SHARD),
    "one scan removed": (Edit((scan(SUBJECT, "T2w"),), lambda r: (r / scan(SUBJECT, "T2w")).unlink()), ONE_SHARD),
    "what is said of a person": (
        Edit((f"{SCANS}/participants.tsv",), tell_sex), ONE_SHARD,
    ),
    "one label": (
        text("data/labels.tsv", rf"^({SUBJECT}\t1\t)\S+", r"\g<1>50.0"),
        jobs("labels", dataset="mine") | trained(RUNS, "age"),
    ),
    "more subjects in a test set": (config("datasets", "age_test", "cohort", "subjects", 6), AGE_TEST),
    "voxel size": (config("preprocess", "grid", "spacing_mm", 6.0), PREPROCESSED),
    "share of bad scans that is accepted": (config("preprocess", "max_bad_share", 0.8), ACCEPTED | jobs("report")),
    "limit of a quality flag": (config("qc", {"dice_min": 0.8}), jobs("qc")),
    # evaluation
    "tolerance of the NSD": (config("evaluate", "nsd_tolerance_mm", 2.0), evaluated("meningioma")),
    "worst error of an age": (config("evaluate", "worst_error_years", 50.0), evaluated("age")),
    "number of resamples": (config("evaluate", "resamples", 400), evaluated(TASKS)),
    "level of significance": (config("evaluate", "significance", 0.01), END),
    "code of a metric": (code("evaluate/metrics/surface.py"), evaluated(TASKS) | CANARY),
    "code of the ranking": (code("evaluate/ranking.py"), END),
    # what is compared, and how it looks
    "a new seed": (
        config("seeds", 2),
        jobs("pretrain_encoder", run="mae", seed="1") | jobs("finetune_model", run=RUNS, task=TASKS, seed="1")
        | jobs("tracks") | scored(RUNS, TASKS, "1"),
    ),
    "a new run": (
        text("config/runs/ci.tsv", r"\Z", "second\tSecond\tscratch\tn/a\ttiny\tn/a\tfinetune\ttrue\n"),
        trained("second", TASKS),
    ),
    "a run left out": (text("config/runs/ci.tsv", r"^scratch_ood.*\n", ""), jobs("tracks") | END),
    "a run's label": (text("config/runs/ci.tsv", "From scratch", "Random start"), END),
    "a task switched off": (
        config("tasks", "infarct", "enabled", False), jobs("leakage") | COMPARED | jobs("qc") | jobs("tracks") | END,
    ),
    "rules of a track": (config("tracks", "open", "pretrain_data", ["pretrain"]), jobs("tracks") | jobs("report")),
    "a task's title": (config("tasks", "age", "title", "Years"), END),
    "the note": (config("note", "Other words."), jobs("report")),
    "a plot's colour": (text("src/cairn/report/style.py", "#1f6f9f", "#1f6f90"), PAGES),
    "the page's style": (text("src/cairn/report/page.css", r"\Z", "\nbody { margin: 1px }\n"), PAGES),
    "pin of matplotlib": (
        text("envs/requirements-py311.lock", r"^matplotlib==\S+", "matplotlib==99.0"), PAGES,
    ),
}  # fmt: skip


@pytest.fixture(params=["clone", pytest.param("study", marks=pytest.mark.slow)])
def tree(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_plans_exactly_what_it_touches(tree, name):
    edit, expected = EDITS[name]
    with edit.made(tree.root):
        planned = tree.plan()
    missing, needless = sorted(expected - planned), sorted(planned - expected)
    assert not missing, f"not planned: {missing}"
    assert not needless, f"planned for nothing: {needless}"


def test_afterwards_nothing_is_planned(tree):
    assert tree.plan() == set()
