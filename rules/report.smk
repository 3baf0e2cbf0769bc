"""Report: one page that opens from disk.

needs: the leaderboard, cases, histories, the card of every job that a number can rest on, test shards and labels for
       the example slices
makes: report/index.html, report/leaderboard.png
why:   a reader sees ranks with their uncertainty, what was run and what it cost, and from every number its chain
"""

TEST_SETS = sorted({t.test for t in PLAN.tasks.values()})
NO_NUMBER = ("qc", "report", "tables")  # no number of the page rests on what these rules make
CARDS = expand(rules.fetch_package.output.card, archive=PLAN.packages) + outputs(
    *[name for name in JOBS if name not in NO_NUMBER], only="card"
)
HISTORIES = expand(rules.pretrain_encoder.output.history, run=PLAN.pretrained_runs, seed=PLAN.seeds) + expand(
    rules.finetune_model.output.history,
    run=PLAN.runs,
    task=PLAN.tasks,
    seed=PLAN.seeds,
)


rule report:
    """Write the leaderboard's page and figure."""
    input:
        leaderboard=rules.leaderboard.output.json,
        stability=rules.leaderboard.output.stability,
        cases=rules.leaderboard.input.cases,
        cards=CARDS,
        histories=HISTORIES,
        shards=[f for d in TEST_SETS for f in shard_files(d, SHARD_INDEX)],
        labels=[LABELS.format(dataset=d) for d in TEST_SETS],
        predictions=[PREDICTIONS.format(seed=seed, **names) for names in RUN_TASKS for seed in PLAN.seeds],
        manifests=[rules.manifest.output.manifest.format(dataset=d) for d in PLAN.datasets],
    output:
        page=f"{R}/report/index.html",
        figure=f"{R}/report/leaderboard.png",
        card=f"{R}/report/run.json",
    log:
        f"{R}/logs/report.log",
    benchmark:
        f"{R}/benchmarks/report.jsonl"
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        config=lambda w: PLAN.report_job(),
        code=code_of("report"),
        pins=pins_of("report"),
    message:
        "report"
    shell:
        "python workflow/scripts/report.py --config {params.config:q} --leaderboard {input.leaderboard}"
        " --stability {input.stability} --cases {input.cases:q} --cards {input.cards:q} --histories {input.histories:q} --shards {input.shards:q}"
        " --labels {input.labels:q} --predictions {input.predictions:q} --manifests {input.manifests:q}"
        " --page {output.page} --figure {output.figure} --card {output.card} > {log} 2>&1"
