"""Report: one page that opens from disk.

needs: the leaderboard, cases, histories, the card of every job that a number can rest on, test shards and labels for
       the example slices
makes: report/index.html, report/leaderboard.png, report/findings.html
why:   a reader sees ranks with their uncertainty, what was run and what it cost, and from every number its chain
"""

TEST_SETS = sorted({PLAN.tasks[name].test for name in PLAN.session_tasks})
NO_NUMBER = (
    "absent_tasks",
    "tracks",
    "findings",
    "findings_page",
    "qc",
    "report",
    "tables",
)  # no number of the page rests on what these rules make
CARDS = expand(named(rules.fetch_package.output.card), archive=PLAN.packages) + outputs(
    *[name for name in JOBS if name not in NO_NUMBER], only="card"
)
HISTORIES = outputs("pretrain_encoder", "finetune_model", only="history")


rule absent_tasks:
    """List the tasks of CuriaBench whose data are not here: never filled in, always named."""
    input:
        registry="config/curiabench.yaml",
    output:
        absent=f"{R}/report/absent.json",
        card=f"{R}/report/absent.run.json",
    log:
        f"{R}/logs/absent_tasks.log",
    benchmark:
        f"{R}/benchmarks/absent_tasks.jsonl"
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        config=lambda w: PLAN.absent_job(),
        code=code_of("absent_tasks"),
        pins=pins_of("absent_tasks"),
    message:
        "absent tasks"
    shell:
        "python workflow/scripts/absent_tasks.py --config {params.config:q} --registry {input.registry:q}"
        " --absent {output.absent} --card {output.card} > {log} 2>&1"


rule report:
    """Write the leaderboard's page and figure."""
    input:
        leaderboard=rules.leaderboard.output.json,
        tracks=rules.tracks.output.report,
        stability=rules.leaderboard.output.stability,
        cases=rules.leaderboard.input.cases,
        cards=CARDS,
        histories=HISTORIES,
        shards=[f for d in TEST_SETS for f in shard_files(d, SHARD_INDEX)],
        tensors=[f for d in TEST_SETS for f in tensors(d)],
        labels=[LABELS.format(dataset=d) for d in TEST_SETS],
        predictions=outputs("predict_test", "predict_entry", "predict_head", only="predictions"),
        curves=outputs("few_shot_curve", only="curve"),
        absent=outputs("absent_tasks", only="absent"),
        manifests=[named(rules.manifest.output.manifest).format(dataset=d) for d in PLAN.scanned],
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
        " --tracks {input.tracks} --stability {input.stability} --cases {input.cases:q} --cards {input.cards:q}"
        " --histories {input.histories:q} --shards {input.shards:q}"
        " --labels {input.labels:q} --predictions {input.predictions:q} --manifests {input.manifests:q}"
        " --few-shot {input.curves:q} --absent {input.absent:q}"
        " --page {output.page} --figure {output.figure} --card {output.card} > {log} 2>&1"


rule findings_page:
    """Write the findings page."""
    input:
        findings=rules.findings.output.out,
        cards=outputs("pretrain_encoder", "finetune_model", "fit_head", only="card"),
    output:
        page=f"{R}/report/findings.html",
        card=f"{R}/report/findings.run.json",
    log:
        f"{R}/logs/findings_page.log",
    benchmark:
        f"{R}/benchmarks/findings_page.jsonl"
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code_of("findings_page"),
        pins=pins_of("findings_page"),
    message:
        "findings page"
    shell:
        "python workflow/scripts/findings_page.py --findings {input.findings} --cards {input.cards:q}"
        " --page {output.page} --card {output.card} > {log} 2>&1"
