"""Guards that DVC keeps all that the rules make: what lies elsewhere would be made again in every clone."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]
OF_THIS_MACHINE = {"logs", "benchmarks", ".state", "submission"}  # a submission is a copy, made again at will


def test_every_folder_that_a_rule_writes_to_is_an_out_of_a_stage():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    outs = {next(iter(out)) if isinstance(out, dict) else out for stage in stages.values() for out in stage["outs"]}
    kept = {path.removeprefix("results/${experiment}/") for path in outs}
    rules = "".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))
    written = set(re.findall(r'f"\{R\}/([^/{"]+)/', rules))
    assert {"finetune", "leaderboard"} <= written
    assert written - OF_THIS_MACHINE <= kept


def test_every_stage_makes_what_lies_in_its_outs():
    """The report's stage may make nothing below `predict` and `evaluate`, which another stage keeps."""
    snakefile = (ROOT / "Snakefile").read_text()
    for rule in ("few_shot", "few_shot_curve", "evaluate_run", "predict_head"):
        assert f'"{rule}"' in snakefile.split("rule evaluate:")[1].split("rule apply:")[0]
