"""Cairn: from raw scans to a leaderboard. `snakemake --cores all` makes the page; the target rules below name the stages."""

import os
import sys

from snakemake.utils import min_version

min_version("9.0")

# Each of some hundred jobs imports torch: byte code is kept beside the packages, whatever the shell's setting is.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

if not set(config) - {"run"}:

    # Without a configuration: the demo, or, where target `curia` is asked for, its own.
    configfile: "config/curia.yaml" if "curia" in sys.argv else "config/demo.yaml"


SUBMITTED = config.pop("run", "")  # the row that target `submission` packages; no setting of the experiment


include: "rules/common.smk"
include: "rules/cohort.smk"
include: "rules/datasets.smk"
include: "rules/dicom.smk"
include: "rules/sequences.smk"
include: "rules/preprocess.smk"
include: "rules/leakage.smk"
include: "rules/pretrain.smk"
include: "rules/finetune.smk"
include: "rules/items.smk"
include: "rules/heads.smk"
include: "rules/entries.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"
include: "rules/tables.smk"
include: "rules/submission.smk"


onstart:
    PLAN.record(config)
    if workflow.local_exec:
        # Of use with a queue only. Here every finished job leaves a timer behind that has all ready jobs weighed once a
        # second to the end of the run (Snakemake 9.27), so that the scheduler's cost grows with the square of the jobs.
        workflow.scheduler.job_rate_limiter = None


rule all:
    """The leaderboard's page, the quality page, and the card of every job: what lacks its card is made again."""
    default_target: True
    input:
        rules.report.output.page,
        rules.findings_page.output.page,
        rules.qc.output.page,
        outputs(*JOBS, only="card"),
        APPLIED,
    localrule: True
    message:
        "everything is there"


rule curia:
    """Curia and Curia-2 on the embedded cohort (`config/curia.yaml`): everything, as in `all`."""
    input:
        rules.all.input,
    localrule: True
    message:
        "everything is there"


rule fetch:
    """Packages that the embedded cohort is made from: the one target that uses the network."""
    input:
        expand(list(map(named, rules.fetch_package.output)), archive=PLAN.packages),
    localrule: True


rule convert:
    """Data sets of DICOM files as trees of scans: to be run before anything else, where there are such data sets."""
    input:
        expand(list(map(named, rules.convert_dicom.output)), dataset=PLAN.dicom_datasets),
    localrule: True


rule cohort:
    """Raw scans of the embedded cohort; index, manifest and labels of every data set; the check for leaks."""
    input:
        outputs("build_donor", "cohort_shard", "index_shard", "manifest", "labels", "leakage", "people"),
    localrule: True


rule preprocess:
    """Every scan preprocessed, the quality page, and the check for scans on two sides of the split."""
    input:
        outputs("preprocess_shard", "accept_dataset", "qc", "near_duplicates", "no_leaks"),
    localrule: True


rule pretrain:
    """Every encoder."""
    input:
        outputs("pretrain_encoder", "import_weights"),
    localrule: True


rule finetune:
    """Every fine-tuned model."""
    input:
        outputs("finetune_model", "fit_head"),
    localrule: True


rule evaluate:
    """Predictions and scores of every run on every task."""
    input:
        outputs(
            "predict_test",
            "predict_entry",
            "predict_head",
            "label_canary",
            "evaluate_run",
            "few_shot",
            "few_shot_curve",
        ),
    localrule: True


rule apply:
    """Predictions for the data sets that ask for them, labelled or not."""
    input:
        APPLIED,
    localrule: True


rule submission:
    """A row as container entries, one a task: `snakemake --cores all submission --config run=mae`."""
    input:
        submitted(SUBMITTED),
    localrule: True
