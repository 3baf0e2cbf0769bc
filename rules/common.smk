"""What all rules share: the validated plan, wildcard constraints, the hash of a script's code.

needs: the configuration
makes: PLAN, R (the experiment's folder), RES (the folder of shared resources), code_of, pins_of
why:   a wrong configuration stops here, before any job, with one sentence; after a kill the same command goes on
"""

import re
import sys
from pathlib import Path

from snakemake.dag import DAG
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.persistence import PersistenceBase

try:
    from cairn.errors import CairnError
    from cairn.plan import Plan
    from cairn.provenance import code_hash, pins_hash
    from cairn.workflow.live import hold_run
    from cairn.workflow.order import mend_ancient
    from cairn.workflow.records import plain_params
except ImportError as error:
    raise WorkflowError(f"Cairn's environment is not active ({error}). Run `make env`, then `. .venv/bin/activate`.")

BASE = Path(workflow.basedir)

try:
    PLAN = Plan(config, BASE)
    PLAN.shards  # a folder that is missing or unusable is told here
except CairnError as error:
    raise WorkflowError(str(error))

# What is in a DICOM data set is known when it is converted; jobs that run as processes of their own were planned.
if PLAN.unconverted and workflow.is_main_process and "convert" not in sys.argv:
    raise WorkflowError(f"Not converted yet: {', '.join(PLAN.unconverted)}. Run the target `convert` by itself first.")

# An entry's job reads scans that no input names: their indexes stand for them, on the file system that all jobs share.
if PLAN.sealed_runs and workflow.storage_settings and workflow.storage_settings.default_storage_provider:
    raise WorkflowError(
        f"Entries ({', '.join(PLAN.sealed_runs)}) need jobs that share the scans' file system: run without a default storage."
    )

# Snakemake locks after parsing. Jobs that it starts as processes of its own, and dry runs, are no runs.
if workflow.is_main_process and not (workflow.output_settings and workflow.output_settings.dryrun):
    hold_run(Path(".snakemake"))

mend_ancient(DAG)
plain_params(PersistenceBase)

R = PLAN.results
JOBS = PLAN.jobs()
RES = "results/resources"
GPU = PLAN.gpus_per_job


def one_of(names):
    """A wildcard pattern that takes exactly these names."""
    return "|".join(map(re.escape, names)) or "(?!)"


def code_of(script):
    """Hash of what a workflow script does: its own syntax tree and those of all it imports from this repository."""
    return code_hash(BASE / "workflow" / "scripts" / f"{script}.py", BASE / "src")


def pins_of(script):
    """Hash of the locked versions of what a workflow script imports from elsewhere."""
    return pins_hash(BASE / "workflow" / "scripts" / f"{script}.py", BASE / "src")


def named(output):
    """The plain name of an output, wherever a default storage keeps it, to make other names from."""
    stored = getattr(output, "flags", {}).get("storage_object")
    prefix = workflow.storage_settings.default_storage_prefix if stored else None
    return str(Path(stored.query).relative_to(prefix or "")) if stored else str(output)


def outputs(*names, only="", datasets=None):
    """Files of all jobs of these rules, or of each the one that the rule calls ``only``; of some data sets alone."""
    patterns = {name: getattr(rules, name).output for name in names}
    chosen = {n: [named(p[only])] if only else list(map(named, p)) for n, p in patterns.items()}
    jobs = [(n, job) for n in names for job in JOBS[n] if datasets is None or job.get("dataset") in {None, *datasets}]
    return [path for name, job in jobs for path in expand(chosen[name], **job)]


def shard_files(dataset, pattern):
    """The files of all shards of a data set, by a pattern that holds {shard}."""
    return [pattern.format(dataset=dataset, shard=shard) for shard in PLAN.shards[dataset]]


def tensors(dataset):
    """What jobs that share no file system must be brought: the shards, for which their indexes stand elsewhere."""
    remote = workflow.storage_settings and workflow.storage_settings.default_storage_provider
    return shard_files(dataset, f"{SHARD}.safetensors") if remote else []


def label_sources(wildcards):
    """Where the labels of a data set come from: the cohort's shards, or the file that the configuration names."""
    if PLAN.datasets[wildcards.dataset].kind == "cohort":
        return shard_files(wildcards.dataset, LABELS_SHARD)
    try:
        return [str(PLAN.label_source(wildcards.dataset))]
    except CairnError as error:
        raise WorkflowError(str(error))


def encoder_of(wildcards):
    """The encoder that a run starts from; scratch and classical runs have none."""
    maker = PLAN.encoder_run(wildcards.run)
    return [ENCODER.format(run=maker, seed=wildcards.seed)] if maker else []


def by_role(pattern, role):
    """A task's file of a data set of a role, if it has one, by wildcards: features of the run's encoder, or targets."""
    return lambda w: [
        pattern.format(run=PLAN.features_run(w.run), seed=getattr(w, "seed", 0), dataset=dataset, task=w.task)
        for dataset in [PLAN.sets_of(w.task).get(role)]
        if dataset
    ]


def learned_from(role):
    """Targets that a head is fitted or chosen by; a registration learns nothing from targets."""
    return lambda w: [] if PLAN.tasks[w.task].kind == "registration" else by_role(TARGETS, role)(w)


def pairs_of(wildcards):
    """Who is moved onto whom, for a registration."""
    task = PLAN.tasks[wildcards.task]
    form = PLAN.form_of(wildcards.task, "test")
    return [PAIRS.format(dataset=task.test, form=form)] if task.kind == "registration" else []


def submitted(run):
    """Build contexts of a row's entries, and their images where these are asked for; nothing while no row is named."""
    try:
        tasks = PLAN.submission_tasks(run) if run or "submission" in sys.argv else []
    except CairnError as error:
        raise WorkflowError(str(error))
    images = PLAN.experiment.challenge.builds_images
    if tasks and not images and PLAN.experiment.challenge.build == "auto":
        logger.info(
            "No Apptainer here, so no image: submission makes folders; each one's README.md tells how to build."
        )
    kinds = ["{}.run.json", "{}.sif"] if images else ["{}.run.json"]
    return [kind.format(CONTEXT.format(run=run, task=task)) for task in tasks for kind in kinds]


def test_labels(wildcards):
    """Labels of a task's test set: of its sessions, or of its items."""
    pattern = LABELS if wildcards.task in PLAN.session_tasks else TARGETS
    return pattern.format(dataset=PLAN.tasks[wildcards.task].test, task=wildcards.task)


wildcard_constraints:
    dataset=one_of(PLAN.datasets),
    shard=r"\d{4}",
    run=one_of(PLAN.runs),
    task=one_of(PLAN.tasks),
    seed=r"\d+",
