"""Leakage: pretraining, fine-tuning and test are disjoint, by subject, by file and by what is in the scans.

needs: the indexes of all data sets of the split; the hashes that preprocessing makes of every volume
makes: leakage/leakage.json; preprocess/near_duplicates.{json,md}, preprocess/no_leaks.json
why:   names and bytes are compared before anything is preprocessed, contents after; nothing is trained before both
       found nothing. Near-duplicates are listed by one rule and refused by the next, so that the list outlives the stop
"""


rule leakage:
    """Stop when a subject, or a copy of a file, is on two sides of the split."""
    input:
        indexes=[f for d in PLAN.split_datasets for f in shard_files(d, INDEX)],
    output:
        report=f"{R}/leakage/leakage.json",
        card=f"{R}/leakage/run.json",
    log:
        f"{R}/logs/leakage.log",
    benchmark:
        f"{R}/benchmarks/leakage.jsonl"
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        config=lambda w: PLAN.leakage_job(),
        code=code_of("leakage"),
        pins=pins_of("leakage"),
    message:
        "leakage"
    shell:
        "python workflow/scripts/leakage.py --config {params.config:q} --indexes {input.indexes:q}"
        " --report {output.report} --card {output.card} > {log} 2>&1"


rule near_duplicates:
    """Compare every scan of a side of the split with every scan of the others, by perceptual hash."""
    input:
        hashes=[f for d in PLAN.split_datasets for f in shard_files(d, HASHES)],
    output:
        report=f"{R}/preprocess/near_duplicates.json",
        text=f"{R}/preprocess/near_duplicates.md",
        card=f"{R}/preprocess/near_duplicates.run.json",
    log:
        f"{R}/logs/near_duplicates.log",
    benchmark:
        f"{R}/benchmarks/near_duplicates.jsonl"
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        config=lambda w: PLAN.near_duplicates_job(),
        code=code_of("near_duplicates"),
        pins=pins_of("near_duplicates"),
    message:
        "near-duplicates"
    shell:
        "python workflow/scripts/near_duplicates.py --config {params.config:q} --hashes {input.hashes:q}"
        " --report {output.report} --text {output.text} --card {output.card} > {log} 2>&1"


rule no_leaks:
    """Stop when a scan of one side of the split is a near-duplicate of one of another."""
    input:
        subjects=rules.leakage.output.report,
        scans=rules.near_duplicates.output.report,
    output:
        report=f"{R}/preprocess/no_leaks.json",
        card=f"{R}/preprocess/no_leaks.run.json",
    log:
        f"{R}/logs/no_leaks.log",
    benchmark:
        f"{R}/benchmarks/no_leaks.jsonl"
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        code=code_of("no_leaks"),
        pins=pins_of("no_leaks"),
    message:
        "no leaks"
    shell:
        "python workflow/scripts/no_leaks.py --subjects {input.subjects} --scans {input.scans}"
        " --report {output.report} --card {output.card} > {log} 2>&1"
