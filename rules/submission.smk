"""Submission: a row of the leaderboard as container entries, one a task. Asked for by name, never by default.

needs: fine-tuned models of the run, the packages that preprocessing reads
makes: submission/{run}/{task}/ (build context), where Apptainer is installed also {task}.sif, and cards
why:   what is sent to a challenge is the very model that was scored, and its card leads back to the raw scans
"""

RECIPES = ("entry.def", "entry-offline.def", "Dockerfile", "README.md", "predict.py")
CONTEXT = f"{R}/submission/{{run}}/{{task}}"
OFFLINE = PLAN.experiment.challenge.offline


rule package_entry:
    """Write the build context of one entry."""
    input:
        model=f"{R}/finetune/{{run}}/{{task}}/seed-0/model.safetensors",
        trained=f"{R}/finetune/{{run}}/{{task}}/seed-0/run.json",
        shards=lambda w: shard_files(PLAN.train_data(w.run, w.task), SHARD_INDEX),
        prepared=lambda w: shard_files(PLAN.train_data(w.run, w.task), f"{SHARD}.run.json"),
        packages=list(PREPROCESS_PACKAGES.values()),
        recipes=expand("containers/{name}", name=RECIPES),
    output:
        context=directory(CONTEXT),
        card=f"{CONTEXT}.run.json",
    log:
        f"{R}/logs/package_entry/{{run}}-{{task}}.log",
    benchmark:
        f"{R}/benchmarks/package_entry/{{run}}-{{task}}.jsonl"
    wildcard_constraints:
        task=ON_SESSIONS,
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        results=lambda w, input: str(Path(input.model).parents[4]),
        app=lambda w: code_hash(BASE / "containers" / "predict.py", BASE / "src"),
        code=code_of("package_entry"),
        pins=pins_of("package_entry"),
    message:
        "package {wildcards.run} for {wildcards.task}"
    shell:
        "python workflow/scripts/package_entry.py --results {params.results} --run {wildcards.run}"
        " --task {wildcards.task} --model {input.model} --shards {input.shards:q} --packages {input.packages:q}"
        " --context {output.context} --card {output.card} > {log} 2>&1"


rule build_image:
    """Build an entry's image by Apptainer."""
    input:
        context=CONTEXT,
        card=f"{CONTEXT}.run.json",
        base=[OFFLINE.base] if OFFLINE else [],
    output:
        image=f"{CONTEXT}.sif",
        card=f"{CONTEXT}.sif.run.json",
    log:
        f"{R}/logs/build_image/{{run}}-{{task}}.log",
    benchmark:
        f"{R}/benchmarks/build_image/{{run}}-{{task}}.jsonl"
    wildcard_constraints:
        task=ON_SESSIONS,
    conda:
        "../envs/cairn.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        wheels=[OFFLINE.wheels] if OFFLINE else [],
        code=code_of("build_image"),
        pins=pins_of("build_image"),
    message:
        "build {wildcards.run} for {wildcards.task}"
    shell:
        "python workflow/scripts/build_image.py --context {input.context} --base {input.base:q} --wheels {params.wheels:q}"
        " --image {output.image} --card {output.card} > {log} 2>&1"
