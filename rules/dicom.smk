"""DICOM: folders of DICOM files into plain trees of scans, once, by the target `convert`.

needs: the folder and the secret that the configuration names; dcm2niix and pydicom (envs/dicom.in)
makes: raw/{dataset}/converted/sub_*/ses_*/*.nii.gz, raw/{dataset}/converted.tsv; kept series in .state/, outside every
       output, with the one list that leads back to the files
why:   which sessions there are is known only when the series are read, and a plan must know it: so this comes first,
       as `fetch` does, and what follows plans on the tree like on any other
"""


rule convert_dicom:
    """Convert one data set's DICOM files; each series ends as a scan or in a named code."""
    output:
        table=f"{R}/raw/{{dataset}}/converted.tsv",
        card=f"{R}/raw/{{dataset}}/converted.run.json",
    log:
        f"{R}/logs/convert_dicom/{{dataset}}.log",
    benchmark:
        f"{R}/benchmarks/convert_dicom/{{dataset}}.jsonl"
    wildcard_constraints:
        dataset=one_of(PLAN.dicom_datasets),
    conda:
        "../envs/cairn.yaml"
    threads: 4
    resources:
        mem_mb=3000,
        runtime=720,
    params:
        config=lambda w: PLAN.dicom_job(w.dataset),
        root=lambda w: str(PLAN.place(PLAN.datasets[w.dataset].root)),
        files=lambda w: PLAN.dicom_fingerprint(w.dataset),
        tree=f"{R}/raw/{{dataset}}/converted",
        state=f"{R}/.state/dicom/{{dataset}}",
        code=code_of("convert_dicom"),
        pins=pins_of("convert_dicom"),
    message:
        "convert {wildcards.dataset}"
    shell:
        "python workflow/scripts/convert_dicom.py --config {params.config:q} --root {params.root:q} --tree {params.tree}"
        " --state {params.state} --threads {threads} --table {output.table} --card {output.card} > {log} 2>&1"
