"""Unknown sequences: a small model that looks at the scan.

needs: donors/ of the groups train and indomain (to learn from) and test (to be judged on); no scan of any data set
makes: preprocess/sequence_model/{model,evaluation}.json and its figure
why:   in large collections the names of half the scans tell no sequence; made only where a real data set has such scans
       and the configuration asks for it, or by the target `sequence_model`
"""

SEQUENCE_MODEL = f"{R}/preprocess/sequence_model/model.json"


rule sequence_model:
    """Train the model that tells the sequence of a scan, and judge it on donors and sites that it never met."""
    input:
        donors=[DONOR_FILE.format(donor=d) for d in PLAN.model_donors("train")],
        held_out=[DONOR_FILE.format(donor=d) for d in PLAN.model_donors("test")],
    output:
        model=SEQUENCE_MODEL,
        evaluation=f"{R}/preprocess/sequence_model/evaluation.json",
        figure=f"{R}/preprocess/sequence_model/evaluation.png",
        card=f"{R}/preprocess/sequence_model/run.json",
    log:
        f"{R}/logs/sequence_model.log",
    benchmark:
        f"{R}/benchmarks/sequence_model.jsonl"
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=120,
    params:
        config=lambda w: PLAN.sequence_model_job(),
        code=code_of("sequence_model"),
        pins=pins_of("sequence_model"),
    message:
        "train the model of unknown sequences"
    shell:
        "python workflow/scripts/sequence_model.py --config {params.config:q} --donors {input.donors}"
        " --held-out {input.held_out} --model {output.model} --evaluation {output.evaluation}"
        " --figure {output.figure} --card {output.card} > {log} 2>&1"
