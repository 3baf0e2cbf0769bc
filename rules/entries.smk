"""Entries: sealed images of strangers, run over the test sets, each case in a sandbox of its own.

needs: index and raw scans of the test set, no label of it; of a probe also index, scans and labels of the training set
makes: predict/{run}/{task}/seed-0/ (predictions, cases.tsv, logs/), where predictions of every run lie
why:   what follows sees no difference between an entry and a model that was trained here; an entry sees scans alone
"""


rule predict_entry:
    """Run an entry on the test set of a task."""
    input:
        indexes=lambda w: shard_files(PLAN.tasks[w.task].test, INDEX),
        train_indexes=lambda w: [f for d in PLAN.head_data(w.task) for f in shard_files(d, INDEX)],
        train_labels=lambda w: [LABELS.format(dataset=d) for d in PLAN.head_data(w.task)],
        accepted=ancient(lambda w: ACCEPTED.format(dataset=PLAN.tasks[w.task].test)),
    output:
        predictions=PREDICTIONS,
        card=f"{R}/predict/{{run}}/{{task}}/seed-{{seed}}/run.json",
    log:
        f"{R}/logs/predict_entry/{{run}}-{{task}}-{{seed}}.log",
    benchmark:
        f"{R}/benchmarks/predict_entry/{{run}}-{{task}}-{{seed}}.jsonl"
    wildcard_constraints:
        run=one_of(PLAN.sealed_runs),
        task=ON_SESSIONS,
    conda:
        "../envs/cairn.yaml"
    threads: PLAN.experiment.challenge.policy.cpus
    resources:
        gpu=int(PLAN.experiment.challenge.policy.gpu),
        mem_mb=PLAN.experiment.challenge.policy.memory_mb + 1000,
        runtime=1440,
    params:
        config=lambda w: PLAN.entry_job(w.run, w.task),
        image=lambda w: str(PLAN.image(w.run)),
        contents=lambda w: PLAN.image_fingerprint(w.run),
        root=lambda w: str(PLAN.data_root(PLAN.tasks[w.task].test)),
        train_root=lambda w: [str(PLAN.data_root(d)) for d in PLAN.head_data(w.task)],
        state=f"{R}/.state/entries/{{run}}-{{task}}-{{seed}}",
        code=code_of("predict_entry"),
        pins=pins_of("predict_entry"),
    message:
        "entry {wildcards.run} on {wildcards.task}"
    shell:
        "python workflow/scripts/predict_entry.py --config {params.config:q} --image {params.image:q}"
        " --indexes {input.indexes:q} --root {params.root:q} --train-indexes {input.train_indexes:q}"
        " --train-root {params.train_root:q} --train-labels {input.train_labels:q} --state {params.state}"
        " --predictions {output.predictions} --card {output.card} > {log} 2>&1"
