"""Tables: the numbers that DVC shows.

needs: the leaderboard; the history of every training
makes: leaderboard/metrics.json, leaderboard/scores/*.csv, leaderboard/curves/*.csv
why:   `dvc metrics diff` and `dvc plots diff` compare commits of an experiment
"""


rule tables:
    """Write metrics, scores and learning curves as DVC reads them."""
    input:
        leaderboard=rules.leaderboard.output.json,
        histories=outputs("pretrain_encoder", "finetune_model", only="history"),
    output:
        metrics=f"{R}/leaderboard/metrics.json",
        scores=directory(f"{R}/leaderboard/scores"),
        curves=directory(f"{R}/leaderboard/curves"),
        card=f"{R}/leaderboard/tables.run.json",
    log:
        f"{R}/logs/tables.log",
    benchmark:
        f"{R}/benchmarks/tables.jsonl"
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        code=code_of("tables"),
        pins=pins_of("tables"),
    message:
        "tables"
    shell:
        "python workflow/scripts/tables.py --leaderboard {input.leaderboard} --histories {input.histories:q}"
        " --metrics {output.metrics} --scores {output.scores} --curves {output.curves} --card {output.card}"
        " > {log} 2>&1"
