"""Data sets: indexes of real folders, manifests, labels.

needs: folders named in the configuration (real data), or the shards' tables (embedded cohort)
makes: raw/{dataset}/index/{shard}.tsv, raw/{dataset}/manifest.parquet, truth/{dataset}/{labels,people}.tsv
why:   what follows sees one kind of index and one kind of label table, wherever the data come from
"""

LABELS = f"{R}/truth/{{dataset}}/labels.tsv"
PEOPLE = f"{R}/truth/{{dataset}}/people.tsv"


rule index_shard:
    """Index one shard of a real data set: names, content hashes, headers."""
    output:
        index=INDEX,
        card=f"{R}/raw/{{dataset}}/index/{{shard}}.run.json",
    log:
        f"{R}/logs/index_shard/{{dataset}}-{{shard}}.log",
    benchmark:
        f"{R}/benchmarks/index_shard/{{dataset}}-{{shard}}.jsonl"
    wildcard_constraints:
        dataset=one_of(PLAN.real_datasets),
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        shard_place=1,
        mem_mb=1000,
        runtime=60,
    params:
        config=lambda w: PLAN.index_job(w.dataset, w.shard),
        root=lambda w: str(PLAN.data_root(w.dataset)),
        scans=lambda w: PLAN.listings[w.dataset].fingerprint(w.shard),
        code=code_of("index_shard"),
        pins=pins_of("index_shard"),
    message:
        "index {wildcards.dataset} {wildcards.shard}"
    shell:
        "python workflow/scripts/index_shard.py --config {params.config:q} --root {params.root:q}"
        " --index {output.index} --card {output.card} > {log} 2>&1"


rule manifest:
    """Gather the indexes of a data set into one table."""
    input:
        indexes=lambda w: shard_files(w.dataset, INDEX),
    output:
        manifest=f"{R}/raw/{{dataset}}/manifest.parquet",
        card=f"{R}/raw/{{dataset}}/manifest.run.json",
    log:
        f"{R}/logs/manifest/{{dataset}}.log",
    benchmark:
        f"{R}/benchmarks/manifest/{{dataset}}.jsonl"
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code_of("manifest"),
        pins=pins_of("manifest"),
    message:
        "manifest {wildcards.dataset}"
    shell:
        "python workflow/scripts/manifest.py --indexes {input.indexes:q} --manifest {output.manifest}"
        " --card {output.card} > {log} 2>&1"


rule labels:
    """Gather and check the labels of a data set."""
    input:
        sources=label_sources,
    output:
        labels=LABELS,
        card=f"{R}/truth/{{dataset}}/labels.run.json",
    log:
        f"{R}/logs/labels/{{dataset}}.log",
    benchmark:
        f"{R}/benchmarks/labels/{{dataset}}.jsonl"
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        config=lambda w: PLAN.labels_job(w.dataset),
        files=lambda w: PLAN.label_fingerprint(w.dataset),
        code=code_of("labels"),
        pins=pins_of("labels"),
    message:
        "labels {wildcards.dataset}"
    shell:
        "python workflow/scripts/labels.py --config {params.config:q} --sources {input.sources:q}"
        " --labels {output.labels} --card {output.card} > {log} 2>&1"


rule people:
    """Gather age and sex of a test set's sessions, for fairness."""
    input:
        indexes=lambda w: shard_files(w.dataset, INDEX),
        anatomies=lambda w: shard_files(w.dataset, ANATOMY) if w.dataset in PLAN.cohort_datasets else [],
    output:
        people=PEOPLE,
        card=f"{R}/truth/{{dataset}}/people.run.json",
    log:
        f"{R}/logs/people/{{dataset}}.log",
    benchmark:
        f"{R}/benchmarks/people/{{dataset}}.jsonl"
    wildcard_constraints:
        dataset=one_of(PLAN.people_datasets),
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        code=code_of("people"),
        pins=pins_of("people"),
    message:
        "people {wildcards.dataset}"
    shell:
        "python workflow/scripts/people.py --indexes {input.indexes:q} --anatomies {input.anatomies:q}"
        " --people {output.people} --card {output.card} > {log} 2>&1"
