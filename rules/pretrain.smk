"""Pretrain: one self-supervised encoder per run and seed; or, on the open track, one imported from foreign weights.

needs: preprocessed shards of the run's pretraining data set, no label; or a file of weights
makes: pretrain/{run}/seed-{seed}/ (weights, card, history); training state in .state/, outside every output
why:   interrupted, the job goes on from its last state and ends with the same weights; whatever an encoder comes from,
       what follows is the same
"""

ENCODER = f"{R}/pretrain/{{run}}/seed-{{seed}}/encoder.safetensors"
SPREAD = PLAN.experiment.pretrain
# What Slurm's executor must know of several processes: the job starts them, one task a node, whatever the GPUs.
ON_NODES = {"tasks_per_gpu": 0} if SPREAD.processes > 1 else {}
ON_NODES |= {"mpi": "srun", "nodes": SPREAD.nodes, "tasks": SPREAD.nodes} if SPREAD.nodes > 1 else {}


rule pretrain_encoder:
    """Pretrain one encoder."""
    input:
        shards=lambda w: shard_files(PLAN.runs[w.run].pretrain_data, SHARD_INDEX),
        tensors=lambda w: tensors(PLAN.runs[w.run].pretrain_data),
        accepted=ancient(lambda w: ACCEPTED.format(dataset=PLAN.runs[w.run].pretrain_data)),
        leakage=ancient(rules.no_leaks.output.report),
    output:
        weights=ENCODER,
        card=f"{R}/pretrain/{{run}}/seed-{{seed}}/run.json",
        history=f"{R}/pretrain/{{run}}/seed-{{seed}}/history.jsonl",
    log:
        f"{R}/logs/pretrain_encoder/{{run}}-{{seed}}.log",
    benchmark:
        f"{R}/benchmarks/pretrain_encoder/{{run}}-{{seed}}.jsonl"
    wildcard_constraints:
        run=one_of(PLAN.pretrained_runs),
    conda:
        "../envs/cairn.yaml"
    threads: SPREAD.per_node
    resources:
        **ON_NODES,
        gpu=GPU * SPREAD.processes,
        mem_mb=lambda w: PLAN.pretrain_mb(w.run),
        runtime=2880,
    params:
        config=lambda w: PLAN.pretrain_job(w.run, w.seed),
        state=f"{R}/.state/pretrain/{{run}}-{{seed}}",
        code=code_of("pretrain_encoder"),
        pins=pins_of("pretrain_encoder"),
    message:
        "pretrain {wildcards.run}, seed {wildcards.seed}"
    shell:
        "python workflow/scripts/pretrain_encoder.py --config {params.config:q} --shards {input.shards:q}"
        " --state {params.state} --weights {output.weights} --card {output.card} --history {output.history}"
        " --threads {threads} > {log} 2>&1"


rule import_weights:
    """Import one encoder from foreign weights; whatever is not accounted for stops it."""
    input:
        foreign=lambda w: PLAN.foreign(w.run, "weights"),
        mapping=lambda w: PLAN.foreign(w.run, "mapping"),
    output:
        weights=ENCODER,
        card=f"{R}/pretrain/{{run}}/seed-{{seed}}/run.json",
    log:
        f"{R}/logs/import_weights/{{run}}-{{seed}}.log",
    benchmark:
        f"{R}/benchmarks/import_weights/{{run}}-{{seed}}.jsonl"
    wildcard_constraints:
        run=one_of(PLAN.imported_runs),
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=lambda w: PLAN.encoder_mb(w.run),
        runtime=30,
    params:
        config=lambda w: PLAN.import_job(w.run, w.seed),
        code=code_of("import_weights"),
        pins=pins_of("import_weights"),
    message:
        "import {wildcards.run}, seed {wildcards.seed}"
    shell:
        "python workflow/scripts/import_weights.py --config {params.config:q} --foreign {input.foreign:q}"
        " --mapping {input.mapping:q} --weights {output.weights} --card {output.card} > {log} 2>&1"
