"""Evaluate and rank: the first and only jobs that see a test label.

needs: predictions of all seeds, labels of the test sets; for fairness, age and sex of their sessions
makes: evaluate/{run}/{task}/ (cases, scores), evaluate/_canary/{task}.json, leaderboard/
why:   every number of the leaderboard is computed here, with its interval; no run is ranked on a track that it breaks,
       nor any where permuted labels score better than chance
"""

CASES = f"{R}/evaluate/{{run}}/{{task}}/cases.tsv"
SCORES = f"{R}/evaluate/{{run}}/{{task}}/scores.parquet"
CANARY = f"{R}/evaluate/_canary/{{task}}.json"  # no run is called so
TRACKS = f"{R}/leaderboard/tracks.json"  # by name: `ancient` marks the very object, and the report would be marked too
LEARNING = (
    "cohort_shard",
    "labels",
    "preprocess_shard",
    "pretrain_encoder",
    "import_weights",
    "finetune_model",
    "make_items",
    "import_items",
    "item_targets",
    "embed_items",
    "fit_head",
    "predict_entry",  # of a sealed image nothing else is known
)
TRAINING_SETS = [dataset for dataset, roles in PLAN.roles.items() if set(roles) - {"test"}]
RUN_TASKS = PLAN.entries(PLAN.tasks)


rule evaluate_run:
    """Score one run on one task, all seeds."""
    input:
        labels=test_labels,
        predictions=lambda w: expand(PREDICTIONS, seed=PLAN.seeds(w.run), **w),
        people=lambda w: [PEOPLE.format(dataset=d) for d in PLAN.people_of(w.task)],
    output:
        cases=CASES,
        scores=SCORES,
        card=f"{R}/evaluate/{{run}}/{{task}}/run.json",
    log:
        f"{R}/logs/evaluate_run/{{run}}-{{task}}.log",
    benchmark:
        f"{R}/benchmarks/evaluate_run/{{run}}-{{task}}.jsonl"
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        config=lambda w: PLAN.evaluate_job(w.run, w.task),
        code=code_of("evaluate_run"),
        pins=pins_of("evaluate_run"),
    message:
        "evaluate {wildcards.run} on {wildcards.task}"
    shell:
        "python workflow/scripts/evaluate_run.py --config {params.config:q} --labels {input.labels}"
        " --predictions {input.predictions:q} --people {input.people:q} --cases {output.cases}"
        " --scores {output.scores} --card {output.card}"
        " > {log} 2>&1"


rule label_canary:
    """Stop when the plain baseline, fitted to permuted labels, scores better or worse than chance on the test."""
    input:
        shards=lambda w: shard_files(PLAN.tasks[w.task].finetune, SHARD_INDEX),
        labels=lambda w: LABELS.format(dataset=PLAN.tasks[w.task].finetune),
        test_shards=lambda w: shard_files(PLAN.tasks[w.task].test, SHARD_INDEX),
        test_labels=lambda w: LABELS.format(dataset=PLAN.tasks[w.task].test),
        leakage=ancient(rules.no_leaks.output.report),
    output:
        report=CANARY,
        card=f"{R}/evaluate/_canary/{{task}}.run.json",
    log:
        f"{R}/logs/label_canary/{{task}}.log",
    benchmark:
        f"{R}/benchmarks/label_canary/{{task}}.jsonl"
    wildcard_constraints:
        task=one_of(PLAN.canary_tasks),
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        config=lambda w: PLAN.canary_job(w.task),
        code=code_of("label_canary"),
        pins=pins_of("label_canary"),
    message:
        "canary of {wildcards.task}"
    shell:
        "python workflow/scripts/label_canary.py --config {params.config:q} --shards {input.shards:q}"
        " --labels {input.labels} --test-shards {input.test_shards:q} --test-labels {input.test_labels}"
        " --report {output.report} --card {output.card} > {log} 2>&1"


rule tracks:
    """Stop when a run rests on what its track forbids."""
    input:
        cards=outputs(*LEARNING, only="card", datasets=TRAINING_SETS),
    output:
        report=TRACKS,
        card=f"{R}/leaderboard/tracks.run.json",
    log:
        f"{R}/logs/tracks.log",
    benchmark:
        f"{R}/benchmarks/tracks.jsonl"
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        config=lambda w: PLAN.tracks_job(),
        code=code_of("tracks"),
        pins=pins_of("tracks"),
    message:
        "tracks"
    shell:
        "python workflow/scripts/tracks.py --config {params.config:q} --cards {input.cards:q} --report {output.report}"
        " --card {output.card} > {log} 2>&1"


rule leaderboard:
    """Rank all runs."""
    input:
        cases=[CASES.format(**names) for names in RUN_TASKS],
        scores=[SCORES.format(**names) for names in RUN_TASKS],
        tracks=ancient(TRACKS),
        canaries=[ancient(CANARY.format(task=task)) for task in PLAN.canary_tasks],
    output:
        csv=f"{R}/leaderboard/leaderboard.csv",
        json=f"{R}/leaderboard/leaderboard.json",
        stability=f"{R}/leaderboard/stability.json",
        card=f"{R}/leaderboard/run.json",
    log:
        f"{R}/logs/leaderboard.log",
    benchmark:
        f"{R}/benchmarks/leaderboard.jsonl"
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        config=lambda w: PLAN.leaderboard_job(),
        code=code_of("leaderboard"),
        pins=pins_of("leaderboard"),
    message:
        "leaderboard"
    shell:
        "python workflow/scripts/leaderboard.py --config {params.config:q} --cases {input.cases:q}"
        " --scores {input.scores:q} --csv {output.csv} --json {output.json} --stability {output.stability}"
        " --card {output.card} > {log} 2>&1"


rule findings:
    """Test FOMO25's findings on this experiment."""
    input:
        cases=rules.leaderboard.input.cases,
        scores=rules.leaderboard.input.scores,
        tracks=ancient(TRACKS),
    output:
        out=f"{R}/leaderboard/findings.json",
        card=f"{R}/leaderboard/findings.run.json",
    log:
        f"{R}/logs/findings.log",
    benchmark:
        f"{R}/benchmarks/findings.jsonl"
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        config=lambda w: PLAN.findings_job(),
        code=code_of("findings"),
        pins=pins_of("findings"),
    message:
        "findings"
    shell:
        "python workflow/scripts/findings.py --config {params.config:q} --cases {input.cases:q}"
        " --scores {input.scores:q} --out {output.out} --card {output.card} > {log} 2>&1"
