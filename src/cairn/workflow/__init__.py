"""What the rules ask about runs of the workflow itself; Snakemake is not imported."""
