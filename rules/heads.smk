"""Heads: a benchmark of frozen encoders (CuriaBench), as a second kind of task, not a second pipeline.

needs: features and targets of the training items; for predictions, features of the test items, no target
makes: heads, predictions and few-shot curves, where models, predictions and scores of other tasks lie
why:   nothing of an encoder learns here, so that a head costs seconds; what follows sees no difference
"""

CURVE = f"{R}/evaluate/{{run}}/{{task}}/few_shot.tsv"


rule fit_head:
    """Fit the head of one task on one encoder's features; nothing of the encoder learns."""
    input:
        features=by_role(FEATURES, "finetune"),
        targets=learned_from("finetune"),
        val_features=by_role(FEATURES, "validation"),
        val_targets=learned_from("validation"),
    output:
        model=MODEL,
        card=f"{R}/finetune/{{run}}/{{task}}/seed-{{seed}}/run.json",
    log:
        f"{R}/logs/fit_head/{{run}}-{{task}}-{{seed}}.log",
    benchmark:
        f"{R}/benchmarks/fit_head/{{run}}-{{task}}-{{seed}}.jsonl"
    wildcard_constraints:
        task=ONLY_FROZEN,
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=120,
    params:
        config=lambda w: PLAN.head_job(w.run, w.task, w.seed),
        form=lambda w: PLAN.form_of(w.task, "finetune"),
        code=code_of("fit_head"),
        pins=pins_of("fit_head"),
    message:
        "head of {wildcards.run} for {wildcards.task}, seed {wildcards.seed}"
    shell:
        "python workflow/scripts/fit_head.py --config {params.config:q} --features {input.features}"
        " --form {params.form} --targets {input.targets:q} --val-features {input.val_features:q}"
        " --val-targets {input.val_targets:q} --model {output.model} --card {output.card} --threads {threads}"
        " > {log} 2>&1"


rule predict_head:
    """Predict the test items of a task."""
    input:
        features=by_role(FEATURES, "test"),
        model=MODEL,
        pairs=pairs_of,
    output:
        predictions=PREDICTIONS,
        card=f"{R}/predict/{{run}}/{{task}}/seed-{{seed}}/run.json",
    log:
        f"{R}/logs/predict_head/{{run}}-{{task}}-{{seed}}.log",
    benchmark:
        f"{R}/benchmarks/predict_head/{{run}}-{{task}}-{{seed}}.jsonl"
    wildcard_constraints:
        task=ONLY_FROZEN,
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=120,
    params:
        config=lambda w: PLAN.head_job(w.run, w.task, w.seed),
        form=lambda w: PLAN.form_of(w.task, "test"),
        code=code_of("predict_head"),
        pins=pins_of("predict_head"),
    message:
        "predict {wildcards.task} by {wildcards.run}, seed {wildcards.seed}"
    shell:
        "python workflow/scripts/predict_head.py --config {params.config:q} --features {input.features}"
        " --form {params.form} --model {input.model} --pairs {input.pairs:q} --predictions {output.predictions}"
        " --card {output.card} --threads {threads} > {log} 2>&1"


rule few_shot:
    """Fit heads on shares of a task's training subjects, and predict its test items with each."""
    input:
        features=by_role(FEATURES, "finetune"),
        targets=by_role(TARGETS, "finetune"),
        test=by_role(FEATURES, "test"),
    output:
        predictions=f"{R}/predict/{{run}}/{{task}}/few_shot.tsv",
        card=f"{R}/predict/{{run}}/{{task}}/few_shot.run.json",
    log:
        f"{R}/logs/few_shot/{{run}}-{{task}}.log",
    benchmark:
        f"{R}/benchmarks/few_shot/{{run}}-{{task}}.jsonl"
    wildcard_constraints:
        task=ONLY_FROZEN,
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=120,
    params:
        config=lambda w: PLAN.few_shot_job(w.run, w.task),
        forms=lambda w: [PLAN.form_of(w.task, role) for role in ("finetune", "test")],
        code=code_of("few_shot"),
        pins=pins_of("few_shot"),
    message:
        "few-shot heads of {wildcards.run} for {wildcards.task}"
    shell:
        "python workflow/scripts/few_shot.py --config {params.config:q} --features {input.features}"
        " --targets {input.targets} --test {input.test} --forms {params.forms} --predictions {output.predictions}"
        " --card {output.card} --threads {threads} > {log} 2>&1"


rule few_shot_curve:
    """Score a few-shot curve."""
    input:
        predictions=rules.few_shot.output.predictions,
        labels=by_role(TARGETS, "test"),
    output:
        curve=CURVE,
        card=f"{R}/evaluate/{{run}}/{{task}}/few_shot.run.json",
    log:
        f"{R}/logs/few_shot_curve/{{run}}-{{task}}.log",
    benchmark:
        f"{R}/benchmarks/few_shot_curve/{{run}}-{{task}}.jsonl"
    wildcard_constraints:
        task=ONLY_FROZEN,
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        config=lambda w: PLAN.evaluate_job(w.run, w.task),
        code=code_of("few_shot_curve"),
        pins=pins_of("few_shot_curve"),
    message:
        "few-shot curve of {wildcards.run} on {wildcards.task}"
    shell:
        "python workflow/scripts/few_shot_curve.py --config {params.config:q} --predictions {input.predictions}"
        " --labels {input.labels} --curve {output.curve} --card {output.card} > {log} 2>&1"
