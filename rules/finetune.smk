"""Fine-tune and predict: one recipe for every encoder.

needs: preprocessed shards and labels of the task's training set; for predictions, shards of the test set, no label
makes: finetune/{run}/{task}/seed-{seed}/, predict/{run}/{task}/seed-{seed}/, predict/applied/{dataset}/…
why:   no job of this file has a test label among its inputs
"""

MODEL = f"{R}/finetune/{{run}}/{{task}}/seed-{{seed}}/model.safetensors"
PREDICTIONS = f"{R}/predict/{{run}}/{{task}}/seed-{{seed}}/predictions.tsv"
APPLY = f"{R}/predict/applied/{{dataset}}/{{run}}/{{task}}/seed-{{seed}}/predictions.tsv"
ON_SESSIONS = one_of(PLAN.session_tasks)
APPLIED = [
    APPLY.format(dataset=dataset, run=run, task=task, seed=seed)
    for dataset, section in PLAN.datasets.items()
    for task in section.predict
    for run in PLAN.model_runs
    if task in PLAN.tasks_of(run)
    for seed in PLAN.seeds(run)
]


rule finetune_model:
    """Fine-tune one model on a task's labelled training set."""
    input:
        shards=lambda w: shard_files(PLAN.train_data(w.run, w.task), SHARD_INDEX),
        tensors=lambda w: tensors(PLAN.train_data(w.run, w.task)),
        labels=lambda w: LABELS.format(dataset=PLAN.train_data(w.run, w.task)),
        encoder=encoder_of,
        accepted=ancient(lambda w: ACCEPTED.format(dataset=PLAN.train_data(w.run, w.task))),
        leakage=ancient(rules.no_leaks.output.report),
    output:
        model=MODEL,
        card=f"{R}/finetune/{{run}}/{{task}}/seed-{{seed}}/run.json",
        history=f"{R}/finetune/{{run}}/{{task}}/seed-{{seed}}/history.jsonl",
    log:
        f"{R}/logs/finetune_model/{{run}}-{{task}}-{{seed}}.log",
    benchmark:
        f"{R}/benchmarks/finetune_model/{{run}}-{{task}}-{{seed}}.jsonl"
    wildcard_constraints:
        run=one_of(PLAN.model_runs),
        task=ON_SESSIONS,
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        gpu=GPU,
        mem_mb=4000,
        runtime=720,
    params:
        config=lambda w: PLAN.finetune_job(w.run, w.task, w.seed),
        state=f"{R}/.state/finetune/{{run}}-{{task}}-{{seed}}",
        code=code_of("finetune_model"),
        pins=pins_of("finetune_model"),
    message:
        "fine-tune {wildcards.run} on {wildcards.task}, seed {wildcards.seed}"
    shell:
        "python workflow/scripts/finetune_model.py --config {params.config:q} --shards {input.shards:q}"
        " --labels {input.labels} --weights {input.encoder:q} --state {params.state} --model {output.model}"
        " --card {output.card} --history {output.history} --threads {threads} > {log} 2>&1"


rule predict_test:
    """Predict the test set of a task."""
    input:
        shards=lambda w: shard_files(PLAN.tasks[w.task].test, SHARD_INDEX),
        tensors=lambda w: tensors(PLAN.tasks[w.task].test),
        model=MODEL,
        accepted=ancient(lambda w: ACCEPTED.format(dataset=PLAN.tasks[w.task].test)),
    output:
        predictions=PREDICTIONS,
        card=f"{R}/predict/{{run}}/{{task}}/seed-{{seed}}/run.json",
    log:
        f"{R}/logs/predict_test/{{run}}-{{task}}-{{seed}}.log",
    benchmark:
        f"{R}/benchmarks/predict_test/{{run}}-{{task}}-{{seed}}.jsonl"
    wildcard_constraints:
        run=one_of(PLAN.model_runs),
        task=ON_SESSIONS,
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        gpu=GPU,
        mem_mb=4000,
        runtime=240,
    params:
        config=lambda w: PLAN.predict_job(w.run, w.task, w.seed),
        code=code_of("predict_test"),
        pins=pins_of("predict_test"),
    message:
        "predict {wildcards.task} by {wildcards.run}, seed {wildcards.seed}"
    shell:
        "python workflow/scripts/predict_test.py --config {params.config:q} --shards {input.shards:q}"
        " --model {input.model} --predictions {output.predictions} --card {output.card} --threads {threads}"
        " > {log} 2>&1"


use rule predict_test as apply_model with:
    input:
        shards=lambda w: shard_files(w.dataset, SHARD_INDEX),
        tensors=lambda w: tensors(w.dataset),
        model=MODEL,
        accepted=ancient(lambda w: ACCEPTED.format(dataset=w.dataset)),
    output:
        predictions=APPLY,
        card=f"{R}/predict/applied/{{dataset}}/{{run}}/{{task}}/seed-{{seed}}/run.json",
    log:
        f"{R}/logs/apply_model/{{dataset}}-{{run}}-{{task}}-{{seed}}.log",
    benchmark:
        f"{R}/benchmarks/apply_model/{{dataset}}-{{run}}-{{task}}-{{seed}}.jsonl"
    message:
        "predict {wildcards.task} on {wildcards.dataset} by {wildcards.run}, seed {wildcards.seed}"
