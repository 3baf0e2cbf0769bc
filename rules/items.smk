"""Items: what a frozen encoder is shown, and its features, computed once.

needs: shards preprocessed raw and their truth; the encoders of the runs
makes: finetune/_items/{dataset}/{form}/ (items without a target; apart from them truth.json, and label maps of pairs),
       finetune/_items/{dataset}/{task}.tsv (targets), finetune/_features/{run}/seed-{seed}/{dataset}.safetensors
why:   an encoder sees every item once, whatever the number of tasks; what predicts needs no target. They lie where DVC
       keeps what the stage `finetune` makes, under names that no run can have
"""

ITEMS = f"{R}/finetune/_items/{{dataset}}/{{form}}/items.parquet"
PAIRS = f"{R}/finetune/_items/{{dataset}}/{{form}}/pairs.tsv"
TARGETS = f"{R}/finetune/_items/{{dataset}}/{{task}}.tsv"
FEATURES = f"{R}/finetune/_features/{{run}}/seed-{{seed}}/{{dataset}}.safetensors"
ONLY_FROZEN = one_of(PLAN.frozen_tasks)


rule make_items:
    """Make the items of a data set in one form."""
    input:
        shards=lambda w: shard_files(w.dataset, SHARD_INDEX),
        tensors=lambda w: tensors(w.dataset),
        anatomies=lambda w: shard_files(w.dataset, ANATOMY),
        accepted=ancient(lambda w: ACCEPTED.format(dataset=w.dataset)),
        leakage=ancient(rules.no_leaks.output.report),
    output:
        images=ITEMS,
        truth=f"{R}/finetune/_items/{{dataset}}/{{form}}/truth.json",
        pairs=PAIRS,
        card=f"{R}/finetune/_items/{{dataset}}/{{form}}/run.json",
    log:
        f"{R}/logs/make_items/{{dataset}}-{{form}}.log",
    benchmark:
        f"{R}/benchmarks/make_items/{{dataset}}-{{form}}.jsonl"
    wildcard_constraints:
        dataset=one_of(PLAN.scanned),
        form=one_of(PLAN.forms),
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=120,
    params:
        config=lambda w: PLAN.items_job(w.dataset, w.form),
        code=code_of("make_items"),
        pins=pins_of("make_items"),
    message:
        "items of {wildcards.dataset}: {wildcards.form}"
    shell:
        "python workflow/scripts/make_items.py --config {params.config:q} --shards {input.shards:q}"
        " --anatomies {input.anatomies:q} --items {output.images} --truth {output.truth} --pairs {output.pairs}"
        " --card {output.card} > {log} 2>&1"


rule import_items:
    """Bring in the items of a data set in CuriaBench's published layout."""
    output:
        images=ITEMS.replace("{form}", "published"),
        truth=named(rules.make_items.output.truth).replace("{form}", "published"),
        pairs=PAIRS.replace("{form}", "published"),
        card=f"{R}/finetune/_items/{{dataset}}/published/run.json",
    log:
        f"{R}/logs/import_items/{{dataset}}.log",
    benchmark:
        f"{R}/benchmarks/import_items/{{dataset}}.jsonl"
    wildcard_constraints:
        dataset=one_of(PLAN.published),
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=240,
    params:
        config=lambda w: PLAN.import_items_job(w.dataset),
        files=lambda w: PLAN.published_files(w.dataset),
        contents=lambda w: PLAN.published_fingerprint(w.dataset),
        code=code_of("import_items"),
        pins=pins_of("import_items"),
    message:
        "items of {wildcards.dataset}, as published"
    shell:
        "python workflow/scripts/import_items.py --config {params.config:q} --files {params.files:q}"
        " --items {output.images} --truth {output.truth} --pairs {output.pairs} --card {output.card} > {log} 2>&1"


rule item_targets:
    """Read a task's targets off the truth of a data set's items."""
    input:
        truth=lambda w: named(rules.make_items.output.truth).format(
            dataset=w.dataset, form=PLAN.form_in(w.dataset, w.task)
        ),
    output:
        targets=TARGETS,
        card=f"{R}/finetune/_items/{{dataset}}/{{task}}.run.json",
    log:
        f"{R}/logs/item_targets/{{dataset}}-{{task}}.log",
    benchmark:
        f"{R}/benchmarks/item_targets/{{dataset}}-{{task}}.jsonl"
    wildcard_constraints:
        task=ONLY_FROZEN,
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        config=lambda w: PLAN.targets_job(w.dataset, w.task),
        code=code_of("item_targets"),
        pins=pins_of("item_targets"),
    message:
        "targets of {wildcards.task} in {wildcards.dataset}"
    shell:
        "python workflow/scripts/item_targets.py --config {params.config:q} --truth {input.truth}"
        " --targets {output.targets} --card {output.card} > {log} 2>&1"


rule embed_items:
    """Embed the items of a data set, in all their forms, with one encoder."""
    input:
        images=lambda w: [ITEMS.format(dataset=w.dataset, form=form) for form in PLAN.item_sets[w.dataset]],
        encoder=encoder_of,
    output:
        features=FEATURES,
        card=f"{R}/finetune/_features/{{run}}/seed-{{seed}}/{{dataset}}.run.json",
    log:
        f"{R}/logs/embed_items/{{run}}-{{seed}}-{{dataset}}.log",
    benchmark:
        f"{R}/benchmarks/embed_items/{{run}}-{{seed}}-{{dataset}}.jsonl"
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        gpu=GPU,
        mem_mb=lambda w: PLAN.encoder_mb(w.run),
        runtime=240,
    params:
        config=lambda w: PLAN.embed_job(w.run, w.seed),
        code=code_of("embed_items"),
        pins=pins_of("embed_items"),
    message:
        "embed {wildcards.dataset} with {wildcards.run}, seed {wildcards.seed}"
    shell:
        "python workflow/scripts/embed_items.py --config {params.config:q} --items {input.images:q}"
        " --weights {input.encoder:q} --features {output.features} --card {output.card} --threads {threads}"
        " > {log} 2>&1"
