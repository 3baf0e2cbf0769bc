"""Preprocess: registration, skull-stripping, normalisation, packing, quality control.

needs: raw/{dataset}/index/{shard}.tsv and the scans it names; skull-strip weights and template from the packages;
       preprocess/sequence_model/ where a real data set has scans of unknown sequence
makes: preprocess/{dataset}/{shard}.* (tensors, index, quarantine, hashes, quality numbers, figures),
       accepted.json, qc/;
       sessions that are done in .state/, outside every output
why:   one preprocessing for pretraining, fine-tuning and inference; a bad scan stops nothing, too many stop what
       would use them; interrupted, the job goes on from the sessions that are done and ends with the same bytes
"""

SHARD = f"{R}/preprocess/{{dataset}}/{{shard}}"
SHARD_INDEX = f"{SHARD}.index.tsv"
QUARANTINE = f"{SHARD}.quarantine.tsv"
HASHES = f"{SHARD}.hashes.tsv"
SHARD_STATE = f"{R}/.state/preprocess/{{dataset}}-{{shard}}"
ACCEPTED = f"{R}/preprocess/{{dataset}}/accepted.json"


rule preprocess_shard:
    """Preprocess one shard of sessions."""
    input:
        index=INDEX,
        packages=list(PREPROCESS_PACKAGES.values()),
        sequence_model=lambda w: [SEQUENCE_MODEL] if (w.dataset, w.shard) in PLAN.unknown_shards else [],
    output:
        shard=f"{SHARD}.safetensors",
        index=SHARD_INDEX,
        quarantine=QUARANTINE,
        hashes=HASHES,
        qc=f"{SHARD}.qc.json",
        figures=directory(f"{SHARD}.qc"),
        card=f"{SHARD}.run.json",
    log:
        f"{R}/logs/preprocess_shard/{{dataset}}-{{shard}}.log",
    benchmark:
        f"{R}/benchmarks/preprocess_shard/{{dataset}}-{{shard}}.jsonl"
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        shard_place=1,
        mem_mb=PLAN.preprocess_mem_mb(),
        runtime=240,
    params:
        config=lambda w: PLAN.preprocess_job(w.dataset, w.shard),
        root=lambda w: str(PLAN.data_root(w.dataset)),
        resources=lambda w, input: str(Path(input.packages[0]).parent),
        state=SHARD_STATE,
        code=code_of("preprocess_shard"),
        pins=pins_of("preprocess_shard"),
    message:
        "preprocess {wildcards.dataset} {wildcards.shard}"
    shell:
        "python workflow/scripts/preprocess_shard.py --config {params.config:q} --index {input.index}"
        " --sequence-model {input.sequence_model} --root {params.root:q} --resources {params.resources} --state {params.state}"
        " --shard {output.shard} --shard-index {output.index} --quarantine {output.quarantine} --hashes {output.hashes}"
        " --qc {output.qc} --figures {output.figures} --card {output.card} > {log} 2>&1"


rule accept_dataset:
    """Stop where too many scans of a data set are unusable: nothing that would use it runs."""
    input:
        indexes=lambda w: shard_files(w.dataset, INDEX),
        quarantines=lambda w: shard_files(w.dataset, QUARANTINE),
        shards=lambda w: shard_files(w.dataset, SHARD_INDEX),
    output:
        accepted=ACCEPTED,
        card=f"{R}/preprocess/{{dataset}}/accepted.run.json",
    log:
        f"{R}/logs/accept_dataset/{{dataset}}.log",
    benchmark:
        f"{R}/benchmarks/accept_dataset/{{dataset}}.jsonl"
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        config=lambda w: PLAN.accept_job(),
        states=lambda w: shard_files(w.dataset, SHARD_STATE),
        code=code_of("accept_dataset"),
        pins=pins_of("accept_dataset"),
    message:
        "accept {wildcards.dataset}"
    shell:
        "python workflow/scripts/accept_dataset.py --config {params.config:q} --indexes {input.indexes:q}"
        " --quarantines {input.quarantines:q} --states {params.states:q} --accepted {output.accepted}"
        " --card {output.card} > {log} 2>&1"


rule qc:
    """One page for the quality of every session; against the truth where the cohort has it."""
    input:
        shards=[f for d in PLAN.scanned for f in shard_files(d, SHARD_INDEX)],
        qc=[f for d in PLAN.scanned for f in shard_files(d, f"{SHARD}.qc.json")],
        quarantine=[f for d in PLAN.scanned for f in shard_files(d, QUARANTINE)],
        truth=[f for d in PLAN.cohort_datasets for f in shard_files(d, ANATOMY)],
    output:
        page=f"{R}/qc/index.html",
        table=f"{R}/qc/sessions.tsv",
        truth=f"{R}/qc/truth.json",
        card=f"{R}/qc/run.json",
    log:
        f"{R}/logs/qc.log",
    benchmark:
        f"{R}/benchmarks/qc.jsonl"
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        config=lambda w: PLAN.qc_job(),
        code=code_of("qc"),
        pins=pins_of("qc"),
    message:
        "quality page"
    shell:
        "python workflow/scripts/qc.py --config {params.config:q} --shards {input.shards:q} --truth {input.truth:q}"
        " --page {output.page} --table {output.table} --truth-table {output.truth} --card {output.card} > {log} 2>&1"
